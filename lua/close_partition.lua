-- close_partition: lets nobody write to a partition any more. Where its history ends can be told only then: whoever
-- meant the store as it was finds itself fenced from now on.
--
-- KEYS    epoch: one partition's (persistence/valkey/keys.py)
-- ARGV    the witness that was found, and what stands in its place while the partition is closed
-- Reply   OK | CHANGED: another witness stands there, and nothing was written
-- Writes  the epoch key.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return { 'CHANGED' }
end
redis.call('SET', KEYS[1], ARGV[2])
return { 'OK' }
