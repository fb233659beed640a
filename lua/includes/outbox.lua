-- include: text
-- The outbox record, format 1: persistence/outbox.py reads what is written here and documents each field.

-- The text of one entry. `record` is what is remembered under the id (includes/transactions.lua), or has the
-- fields of one; of its wallet fields, version is the entry's own where the entry changed the wallet. `context`
-- is the step that caused it, `slip` the slip as it is afterwards.
local function encode_entry(entry_type, source, record, credit_line, changes_wallet, context, slip)
  return join_all({
    entry_type, record.operation or '', source, record.id, record.kind or '', record.fingerprint or '',
    record.currency or '', record.amount or '', changes_wallet and record.version or '',
    record.cash_change or '0', record.bonus_change or '0', record.held_change or '0',
    record.receivable_change or '0', record.cash or '', record.bonus or '', record.held or '',
    record.receivable or '', record.version or '', record.status or '', credit_line or '',
    record.game or '', record.round or '', record.reference or '', record.outcome or '',
    record.reason or '', record.related or '', record.late or '', context.closes_round or '',
    context.occurred_ms or '', context.metadata or '',
  }, record.conversion, slip)
end

-- Appends one record and returns its position, epoch-sequence; the epoch is the witness's first part. The
-- call's first write: should the stream refuse the id, nothing has been changed. `trace` goes with it as a note
-- where there is one.
local function append_record(player, booked_ms, entries, trace)
  local fields = { 'format', '1', 'time', booked_ms, 'player', player }
  for _, entry in ipairs(entries) do
    fields[#fields + 1] = 'entry'
    fields[#fields + 1] = entry
  end
  if trace then
    fields[#fields + 1] = 'note:trace'
    fields[#fields + 1] = trace
  end
  return redis.call('XADD', KEYS[2], string.match(ARGV[1], '^%d+') .. '-*', unpack(fields))
end

