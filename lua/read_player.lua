-- read_player: reads all wallets of a player, and what became of one transaction id, at one moment.
--
-- KEYS    epoch, outbox, wallets, ids, rounds, older, forgotten: one player's (persistence/valkey/keys.py)
-- ARGV    witness, source and transaction id joined by US ('' for none), what the ledger does not know
--         (includes/older.lua)
-- Reply   OK, the id's record ('' where it was not seen), then currency and wallet text for each wallet
--         | FENCED: the store is not the one that was meant | MISS: the player is not resident
--         | COLD, the id: the ledger has to be asked about it first
-- Writes  nothing.

-- include: residence
-- include: older
local function read()
  local record = ARGV[2] ~= '' and redis.call('HGET', KEYS[4], ARGV[2])
  if ARGV[2] ~= '' and not record then
    require_unknown(ARGV[2])
  end
  local reply = { 'OK', record or '' }
  local texts = redis.call('HGETALL', KEYS[3])
  for i = 1, #texts, 2 do
    if texts[i] ~= RESIDENCE then
      reply[#reply + 1], reply[#reply + 2] = texts[i], texts[i + 1]
    end
  end
  return reply
end

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return { 'FENCED' }
end
if not residence then
  return { 'MISS' }
end
read_absent(ARGV[3])
return unless_stopped(read)
