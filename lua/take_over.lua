-- take_over: makes a store the one of its partition, in a new epoch.
--
-- KEYS    epoch, outbox, forgotten: one partition's (persistence/valkey/keys.py)
-- ARGV    the witness that was found ('' for none), the newest record that was found ('' for none, '*' for whatever
--         there is), the new witness, the position up to which the store's memory of players is void ('' where it
--         holds)
-- Reply   OK | CHANGED: something was written since, and nothing was written here
-- Writes  the forgotten position before the witness: from the witness on, players are loaded from the ledger, and
--         it must have everything up to there.
local function newest_record()
  if redis.call('EXISTS', KEYS[2]) == 0 then
    return ''
  end
  local facts = redis.call('XINFO', 'STREAM', KEYS[2])
  for i = 1, #facts, 2 do
    if facts[i] == 'last-generated-id' then
      return facts[i + 1] ~= '0-0' and facts[i + 1] or ''
    end
  end
end

if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return { 'CHANGED' }
end
if ARGV[2] ~= '*' and newest_record() ~= ARGV[2] then
  return { 'CHANGED' }
end
if ARGV[4] ~= '' then
  redis.call('SET', KEYS[3], ARGV[4])
end
redis.call('SET', KEYS[1], ARGV[3])
return { 'OK' }
