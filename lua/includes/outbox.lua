-- include: text
-- The outbox record, format 1: persistence/outbox.py reads what is written here and documents each field.
local NO_CHANGE = { cash = '0', bonus = '0', held = '0', receivable = '0' }
local NO_WALLET = {
  version = '', status = '', cash = '', bonus = '', held = '', receivable = '', credit_line = '',
}

-- `entry` names what applies; everything else is written empty. `wallet` is a copy of the wallet as decided on.
local function encode_entry(entry)
  local change, wallet = entry.change or NO_CHANGE, entry.wallet or NO_WALLET
  return join({
    entry.type, entry.operation or '', entry.source, entry.transaction_id, entry.kind or '',
    entry.fingerprint or '', entry.currency or '', entry.amount or '', entry.version or '',
    change.cash, change.bonus, change.held, change.receivable,
    wallet.cash, wallet.bonus, wallet.held, wallet.receivable,
    wallet.version, wallet.status, wallet.credit_line,
    entry.game or '', entry.round or '', entry.reference or '', entry.outcome or '', entry.reason or '',
    entry.related or '', entry.late or '', entry.closes_round or '', entry.occurred_ms or '',
    entry.metadata or '',
  })
end

-- Appends one record and returns its position, epoch-sequence. The call's first write: should the stream
-- refuse the id, nothing has been changed.
local function append_record(epoch, player, booked_ms, entries)
  local fields = { 'format', '1', 'time', booked_ms, 'player', player }
  for _, entry in ipairs(entries) do
    fields[#fields + 1] = 'entry'
    fields[#fields + 1] = encode_entry(entry)
  end
  return redis.call('XADD', KEYS[2], epoch .. '-*', unpack(fields))
end

