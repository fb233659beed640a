-- load_player: makes a player resident with what the ledger knows.
--
-- KEYS    epoch, outbox, wallets, ids, rounds, older, forgotten: one player's (persistence/valkey/keys.py)
-- ARGV    witness, the cursor at which the ledger was read, older and older count (includes/residence.lua), the
--         filter of older ids as bytes ('' for none), the numbers of wallets, of ids and of rounds, then the field
--         and the text of each, in this order
-- Reply   OK | RESIDENT: somebody else was first, and nothing was changed | STALE: the ledger was read too early
--         | FENCED: the store is not the one that was meant
-- Writes  all that the store knows of the player; whatever it had from before is dropped.

-- include: residence_marker
-- include: staleness
local CHUNK = 1000

-- Stores `count` pairs of a field and a text from ARGV[from] on, some at a time; returns where the next begin.
local function store_pairs(key, from, count)
  local last = from + 2 * count - 1
  for first = from, last, CHUNK do
    redis.call('HSET', key, unpack(ARGV, first, math.min(first + CHUNK - 1, last)))
  end
  return last + 1
end

local function make_resident()
  local now = redis.call('TIME')
  residence = {
    generation = string.match(ARGV[1], '^%d+ %S+ (%d+)'),
    position = '',
    used_ms = string.format('%.0f', tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)),
    older = ARGV[3],
    older_count = ARGV[4],
  }
  redis.call('HSET', KEYS[3], RESIDENCE, encode_residence())
end

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return { 'FENCED' }
end
if residence then
  return { 'RESIDENT' }
end
if is_stale(ARGV[2]) then
  return { 'STALE' }
end

redis.call('UNLINK', KEYS[3], KEYS[4], KEYS[5], KEYS[6])
if ARGV[5] ~= '' then
  redis.call('SET', KEYS[6], ARGV[5])
end
local first_id = store_pairs(KEYS[3], 9, tonumber(ARGV[6]))
local first_round = store_pairs(KEYS[4], first_id, tonumber(ARGV[7]))
store_pairs(KEYS[5], first_round, tonumber(ARGV[8]))
-- The marker comes last: a player who was loaded halfway is not resident.
make_resident()
return { 'OK' }
