-- include: residence
-- The marker's text, to be stored.
local function encode_residence()
  return table.concat({
    residence.generation, residence.position, residence.used_ms, residence.older, residence.older_count,
  }, '\31')
end
