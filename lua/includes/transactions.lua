-- include: text
-- include: older
-- What became of the player's transaction ids: a hash of source US id → the fields that encode_transaction
-- writes. persistence/valkey/records.py reads the same fields.
--
-- state  applied | rolled_back (applied, and undone since) | refused | no_movement (a rollback that had nothing
--        to undo) | tombstone (a rollback came first) | round_closed (it closed a round) | awaited (a win was
--        accepted before its bet; such an id counts as not seen; its booked time is that of the last such win or
--        of its rollback)
-- wins   of a bet: how many credits that settle it stand
-- conversion  only where the amount came in another currency than the wallet's (includes/conversions.lua)
-- slip   only of what belongs to a slip (includes/slips.lua): of the transaction that opened it the slip as it is,
--        of others as it was before them. Most texts end before these two
local transactions, changed_transactions = {}, {}

local function decode_transaction(id, text)
  local fields = split(text)
  return {
    id = id, state = fields[1], fingerprint = fields[2], operation = fields[3], kind = fields[4],
    position = fields[5], booked_ms = fields[6], currency = fields[7], amount = fields[8],
    cash_change = fields[9], bonus_change = fields[10], held_change = fields[11],
    receivable_change = fields[12], version = fields[13], status = fields[14], cash = fields[15],
    bonus = fields[16], held = fields[17], receivable = fields[18], game = fields[19], round = fields[20],
    reference = fields[21], outcome = fields[22], reason = fields[23], related = fields[24],
    late = fields[25], wins = fields[26], conversion = fields[27] ~= '' and fields[27] or nil,
    slip = fields[28],
  }
end

local function encode_transaction(record)
  return join_all({
    record.state, record.fingerprint or '', record.operation or '', record.kind or '',
    record.position or '', record.booked_ms or '', record.currency or '', record.amount or '',
    record.cash_change or '', record.bonus_change or '', record.held_change or '',
    record.receivable_change or '', record.version or '', record.status or '', record.cash or '',
    record.bonus or '', record.held or '', record.receivable or '', record.game or '', record.round or '',
    record.reference or '', record.outcome or '', record.reason or '', record.related or '',
    record.late or '', record.wins or '',
  }, record.conversion, record.slip)
end

local function id_field(source, id)
  return source .. US .. id
end

-- The record under an id of the calling source, as this call has left it so far; nil where there is none.
local function record_of(source, id)
  local record = transactions[id]
  if record == nil then
    local field = id_field(source, id)
    local text = redis.call('HGET', KEYS[4], field)
    if not text then
      require_unknown(field)
    end
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

local function store_transactions(source, booked_ms)
  for id, record in pairs(changed_transactions) do
    if record.state == 'awaited' then
      record.booked_ms = booked_ms
    end
    redis.call('HSET', KEYS[4], id_field(source, id), encode_transaction(record))
  end
end

