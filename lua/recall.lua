-- recall: puts ids and rounds back that the store had forgotten.
--
-- KEYS    epoch, outbox, wallets, ids, rounds, older, forgotten: one player's (persistence/valkey/keys.py)
-- ARGV    witness, the cursor at which the ledger was read, the number of ids, then the field and the text of each
--         id, and of each round
-- Reply   OK | STALE: the ledger was read too early | MISS: the player is not resident
--         | FENCED: the store is not the one that was meant
-- Writes  what the store does not have by now; what it has is newer.

-- include: residence
-- include: staleness
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return { 'FENCED' }
end
if not residence then
  return { 'MISS' }
end
if is_stale(ARGV[2]) then
  return { 'STALE' }
end

local first_round = 4 + 2 * tonumber(ARGV[3])
for i = 4, #ARGV, 2 do
  local key = i < first_round and KEYS[4] or KEYS[5]
  redis.call('HSETNX', key, ARGV[i], ARGV[i + 1])
end
return { 'OK' }
