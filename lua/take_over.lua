-- take_over: makes a store the one of its partition, in a new epoch.
--
-- KEYS    epoch, forgotten: one partition's (persistence/valkey/keys.py)
-- ARGV    the witness that was found ('' for none), the new one, the position up to which the store's memory of
--         players is void ('' where it holds)
-- Reply   OK | CHANGED: another witness is there by now, and nothing was written
-- Writes  the forgotten position before the witness: from the witness on, players are loaded from the ledger, and
--         it must have everything up to there.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return { 'CHANGED' }
end
if ARGV[3] ~= '' then
  redis.call('SET', KEYS[2], ARGV[3])
end
redis.call('SET', KEYS[1], ARGV[2])
return { 'OK' }
