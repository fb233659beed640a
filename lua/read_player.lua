-- read_player: reads all wallets of a player, and what became of one transaction id, at one moment.
--
-- KEYS    epoch, outbox, wallets, ids, rounds: one player's (persistence/valkey/keys.py)
-- ARGV    witness, source and transaction id joined by US ('' for none)
-- Reply   OK, the id's record ('' where it was not seen), then currency and wallet text for each wallet
--         | FENCED: the store is not the one that was meant
-- Writes  nothing.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return { 'FENCED' }
end
local reply = { 'OK', ARGV[2] ~= '' and redis.call('HGET', KEYS[4], ARGV[2]) or '' }
for _, text in ipairs(redis.call('HGETALL', KEYS[3])) do
  reply[#reply + 1] = text
end
return reply
