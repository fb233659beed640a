-- Whether the store has the player in its memory. The marker is the field '' of the player's hash of wallets:
-- generation US position US used (ms) US older US older count. persistence/valkey/residence.py reads it.
--
-- generation  the witness's; another one is from before the store lost data, and nothing of it may be used
-- position    of the player's newest outbox record; '' where there was none since the player was loaded
-- older       what the ledger alone may know of the player's ids and rounds: '' nothing | '*' anything | else what
--             is in the filter of older ids (KEYS[6]), which has so many blocks
local RESIDENCE = ''

-- nil where the player is not resident.
local function read_residence()
  local text = redis.call('HGET', KEYS[3], RESIDENCE)
  if not text then
    return nil
  end
  local generation, position, used_ms, older, older_count =
    string.match(text, '^(%d+)\31([^\31]*)\31(%d+)\31([^\31]*)\31(%d+)$')
  if generation ~= string.match(ARGV[1], '^%d+ %S+ (%d+)') then
    return nil
  end
  return { generation = generation, position = position, used_ms = used_ms, older = older, older_count = older_count }
end

local residence = read_residence()
