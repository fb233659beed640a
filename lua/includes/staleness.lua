-- include: positions
-- Whether memory has left the store that a ledger drained up to `cursor` may not have: then what it says of a
-- player is out of date.
local function is_stale(cursor)
  local forgotten = redis.call('GET', KEYS[7])
  return forgotten and precedes(cursor, forgotten)
end
