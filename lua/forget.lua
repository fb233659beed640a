-- forget: drops what the ledger knows too: a player who was not in use for long, or some old ids and rounds.
--
-- KEYS    epoch, outbox, wallets, ids, rounds, older, forgotten: one player's (persistence/valkey/keys.py)
-- ARGV    witness, the ledger's cursor, the player's residence as it was looked at ('' for none), then
--         for a player: nothing more;
--         for ids and rounds: older and older count afterwards, the whole new filter ('' where the fields are to be
--         added to the one that there is), the number of ids, then the fields of ids and of rounds
-- Reply   OK | CHANGED: the player was in use meanwhile | UNDRAINED: the ledger does not have all of it yet
--         | FENCED: the store is not the one that was meant
-- Writes  the forgotten position together with what is forgotten: an older reading of the ledger is of no use now.

-- include: residence_marker
-- include: staleness
-- As in_filter of includes/older.lua reads them; Valkey counts the bits of a byte from its highest.
local function add_to_filter(field)
  local digest = redis.sha1hex(field)
  local at = tonumber(string.sub(digest, 1, 13), 16) % tonumber(residence.older) * 256
  for i = 14, 24, 2 do
    local place = tonumber(string.sub(digest, i, i + 1), 16)
    local bit_offset = at + math.floor(place / 8) * 8 + 7 - place % 8
    redis.call('SETBIT', KEYS[6], string.format('%d', bit_offset), '1')
  end
end

local function extend_filter(first_field)
  local last_byte = tonumber(residence.older) * 32 - 1
  if redis.call('STRLEN', KEYS[6]) <= last_byte then
    redis.call('SETRANGE', KEYS[6], string.format('%d', last_byte), '\0')
  end
  for i = first_field, #ARGV do
    add_to_filter(ARGV[i])
  end
end

local function forget_player()
  redis.call('UNLINK', KEYS[3], KEYS[4], KEYS[5], KEYS[6])
end

-- The filter grows before the ids go: what fails in between forgets nothing.
local function forget_fields()
  local FIRST_FIELD = 8
  residence.older, residence.older_count = ARGV[4], ARGV[5]
  if ARGV[6] ~= '' then
    redis.call('SET', KEYS[6], ARGV[6])
  elseif residence.older ~= '*' then
    extend_filter(FIRST_FIELD)
  end
  redis.call('HSET', KEYS[3], RESIDENCE, encode_residence())
  local first_round = FIRST_FIELD + tonumber(ARGV[7])
  for i = FIRST_FIELD, #ARGV do
    local key = i < first_round and KEYS[4] or KEYS[5]
    redis.call('HDEL', key, ARGV[i])
  end
end

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return { 'FENCED' }
end
if (redis.call('HGET', KEYS[3], RESIDENCE) or '') ~= ARGV[3] then
  return { 'CHANGED' }
end
if residence then
  -- A ledger that lost its last commits may be behind what was forgotten already.
  if is_stale(ARGV[2]) or residence.position ~= '' and precedes(ARGV[2], residence.position) then
    return { 'UNDRAINED' }
  end
  redis.call('SET', KEYS[7], ARGV[2])
  if #ARGV > 3 then
    forget_fields()
    return { 'OK' }
  end
end
forget_player()
return { 'OK' }
