-- include: residence
-- include: staleness
-- include: stopping
-- Ids and rounds that the store has forgotten, and the ledger may know. What is not found here is looked for
-- there before anything is decided: the script stops, and is run again with what became of the search.
local RS = '\30'
local absent, unchecked = {}, false

-- `text`: '' | the cursor of the ledger that was asked, then RS and each field that it did not have. The word
-- `unchecked` in the cursor's place: the ledger is away, and the fields are taken as absent all the same.
local function read_absent(text)
  local cursor
  for part in string.gmatch(text, '[^' .. RS .. ']+') do
    if cursor then
      absent[part] = true
    elseif part ~= 'unchecked' and is_stale(part) then
      return
    else
      cursor, unchecked = part, part == 'unchecked'
    end
  end
end

-- The filter has blocks of 256 bits; six of them, in one block, stand for a field (persistence/older_filter.py).
local function in_filter(field)
  local digest = redis.sha1hex(field)
  local at = tonumber(string.sub(digest, 1, 13), 16) % tonumber(residence.older) * 32
  local block = redis.call('GETRANGE', KEYS[6], string.format('%d', at), string.format('%d', at + 31))
  if #block < 32 then
    return true
  end
  for i = 14, 24, 2 do
    local place = tonumber(string.sub(digest, i, i + 1), 16)
    local byte = string.byte(block, math.floor(place / 8) + 1)
    if math.floor(byte / 2 ^ (place % 8)) % 2 == 0 then
      return false
    end
  end
  return true
end

local function may_be_older(field)
  local older = residence.older
  return older ~= '' and (older == '*' or in_filter(field))
end

-- To be called before a field counts as unknown. Stops the script where the ledger has to be asked first;
-- nothing has been written by then.
local function require_unknown(field)
  if not absent[field] and may_be_older(field) then
    stop_to_ask('COLD', field)
  end
end

-- Whether a field is taken as unknown although the ledger may have it.
local function is_unchecked(field)
  return unchecked and absent[field] and may_be_older(field)
end
