-- read_memory: reads all that the store remembers of a player: at one moment, or, where that is much, a part.
--
-- KEYS    epoch, outbox, wallets, ids, rounds, older, forgotten: one player's (persistence/valkey/keys.py)
-- ARGV    witness, then
--         all, and how many ids and rounds there may be, '' for any number
--         | ids or rounds, where to go on ('0' to begin), about how many to look at
-- Reply   OK, the player's residence marker, the newest position in the outbox (or one before all of this epoch),
--         where to go on ('0' where there is no more), and three lists of fields and texts in turn: of wallets, ids
--         and rounds
--         | LARGE: there are more
--         | FENCED: the store is not the one that was meant | MISS: the player is not resident
-- Writes  nothing.
-- Holds   whatever changes a player changes the marker: parts that came with the same marker, and wallets that came
--         with it, are of one moment. (What is recalled in between is what the ledger knows too.)

-- include: residence
local function outbox_end()
  local facts = redis.call('EXISTS', KEYS[2]) == 1 and redis.call('XINFO', 'STREAM', KEYS[2]) or {}
  for i = 1, #facts, 2 do
    if facts[i] == 'last-generated-id' and facts[i + 1] ~= '0-0' then
      return facts[i + 1]
    end
  end
  return string.match(ARGV[1], '^%d+') .. '--1'
end

local function read_all(most)
  if most ~= '' and redis.call('HLEN', KEYS[4]) + redis.call('HLEN', KEYS[5]) > tonumber(most) then
    return { 'LARGE' }
  end
  return {
    'OK', redis.call('HGET', KEYS[3], RESIDENCE), outbox_end(), '0',
    redis.call('HGETALL', KEYS[3]), redis.call('HGETALL', KEYS[4]), redis.call('HGETALL', KEYS[5]),
  }
end

local function read_part(which, from, count)
  local is_ids = which == 'ids'
  local key = is_ids and KEYS[4] or KEYS[5]
  local scanned = redis.call('HSCAN', key, from, 'COUNT', count)
  return {
    'OK', redis.call('HGET', KEYS[3], RESIDENCE), outbox_end(), scanned[1],
    redis.call('HGETALL', KEYS[3]), is_ids and scanned[2] or {}, is_ids and {} or scanned[2],
  }
end

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return { 'FENCED' }
end
if not residence then
  return { 'MISS' }
end
if ARGV[2] == 'all' then
  return read_all(ARGV[3])
end
return read_part(ARGV[2], ARGV[3], ARGV[4])
