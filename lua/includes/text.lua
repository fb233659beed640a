-- Texts of several fields, joined by US (0x1F), which no id may contain.
local US = '\31'

local function join(fields)
  return table.concat(fields, US)
end

-- The fields, and after them the last one where there is one.
local function join_all(fields, last)
  if last and last ~= '' then
    fields[#fields + 1] = last
  end
  return join(fields)
end

-- Returns all fields, empty ones included.
local function split(text)
  local fields, count, from = {}, 0, 1
  while true do
    count = count + 1
    local at = string.find(text, US, from, true)
    if not at then
      fields[count] = string.sub(text, from)
      return fields
    end
    fields[count] = string.sub(text, from, at - 1)
    from = at + 1
  end
end

