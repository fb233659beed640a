-- include: text
-- What became of the player's transaction ids: a hash of source US id → the fields of TRANSACTION_FIELDS.
-- persistence/valkey/records.py reads the same fields.
--
-- state  applied | rolled_back (applied, and undone since) | refused | no_movement (a rollback that had nothing
--        to undo) | tombstone (a rollback came first) | awaited (a win was accepted before its bet; such an id
--        counts as not seen)
-- wins   of a bet: how many credits that settle it stand
local TRANSACTION_FIELDS = {
  'state', 'fingerprint', 'operation', 'kind', 'position', 'booked_ms', 'currency', 'amount',
  'cash_change', 'bonus_change', 'held_change', 'receivable_change',
  'version', 'status', 'cash', 'bonus', 'held', 'receivable',
  'game', 'round', 'reference', 'outcome', 'reason', 'related', 'late', 'wins',
}
local transactions, changed_transactions = {}, {}

local function decode_transaction(id, text)
  local fields, transaction = split(text), { id = id }
  for i, name in ipairs(TRANSACTION_FIELDS) do
    transaction[name] = fields[i]
  end
  return transaction
end

local function encode_transaction(transaction)
  local fields = {}
  for i, name in ipairs(TRANSACTION_FIELDS) do
    fields[i] = transaction[name] or ''
  end
  return join(fields)
end

local function id_field(source, id)
  return source .. US .. id
end

-- The record under an id of the calling source, as this call has left it so far; nil where there is none.
local function record_of(source, id)
  local record = transactions[id]
  if record == nil then
    local text = redis.call('HGET', KEYS[4], id_field(source, id))
    record = text and decode_transaction(id, text)
    transactions[id] = record
  end
  return record or nil
end

-- As record_of, but nil for ids that were only awaited.
local function seen(source, id)
  local record = record_of(source, id)
  return record and record.state ~= 'awaited' and record or nil
end

local function put_transaction(record)
  transactions[record.id] = record
  changed_transactions[record.id] = record
end

-- `wins` grows by one for a credit that settles the bet, shrinks by one for its rollback.
local function count_win(source, bet_id, by)
  local bet = record_of(source, bet_id) or { id = bet_id, state = 'awaited' }
  bet.wins = string.format('%d', (tonumber(bet.wins) or 0) + by)
  put_transaction(bet)
end

local function store_transactions(source)
  for id, record in pairs(changed_transactions) do
    redis.call('HSET', KEYS[4], id_field(source, id), encode_transaction(record))
  end
end

