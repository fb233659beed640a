-- find_old: looks through some of a player's ids or rounds for those that may be forgotten.
--
-- KEYS    epoch, outbox, wallets, ids, rounds, older, forgotten: one player's (persistence/valkey/keys.py)
-- ARGV    witness, ids | rounds, where to go on ('0' to begin), the time (ms) before which something is old, about
--         how many to look at
-- Reply   OK, where to go on ('0' when all was looked at), then the fields that are old
--         | FENCED: the store is not the one that was meant
-- Writes  nothing.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return { 'FENCED' }
end
local key = ARGV[2] == 'ids' and KEYS[4] or KEYS[5]
local before_ms = tonumber(ARGV[4])
local scanned = redis.call('HSCAN', key, ARGV[3], 'COUNT', ARGV[5])
local reply, texts = { 'OK', scanned[1] }, scanned[2]
-- The sixth field of an id's record and of a round is the time that counts.
local SIXTH = '^' .. string.rep('[^\31]*\31', 5) .. '(%d+)'
for i = 1, #texts, 2 do
  local time_ms = string.match(texts[i + 1], SIXTH)
  if time_ms and tonumber(time_ms) < before_ms then
    reply[#reply + 1] = texts[i]
  end
end
return reply
