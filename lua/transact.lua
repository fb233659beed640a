-- transact: applies 1 to 16 steps on one player's wallets, all or nothing. Every movement of money is this.
--
-- KEYS    epoch, outbox, wallets, ids, rounds, older, forgotten: one player's, in one partition
--         (persistence/valkey/keys.py)
-- ARGV    witness, player, source, the source's six policies, number of steps, what the ledger does not know
--         (includes/older.lua), then for each step the nineteen fields of a step (includes/steps.lua); amounts
--         are minor units as texts; last, only where the call is traced, its traceparent
-- Reply   a flat list that begins with a word:
--         OK       then for each step the seventeen fields of a result (function result_fields)
--         REFUSED  then the fields of a refusal (function refusal_fields): nothing moved
--         FENCED   alone: the store is not the one that was meant, and nothing was looked at
--         MISS     alone: the player is not resident and has to be loaded first; nothing was done
--         COLD     then the id or round that the ledger has to be asked about first; nothing was done
--         RATE     then a wallet's currency and a step's index: the step's amount is in another currency, and
--                  the rate has to be told first; nothing was done
--         UNCHECKED  alone: it would be refused, but one of its ids may have been applied long ago; nothing was
--                  done
-- Writes  nothing before everything is decided; then the outbox record, wallets, ids and rounds.
-- Holds   an id's record, its wallet's change and its outbox entry exist together or not at all; versions and
--         the outbox have no gaps; what a refusal changes is only the memory of it.

-- include: text
-- include: minor_units
-- include: wallets
-- include: outbox
-- include: older
-- include: transactions
-- include: rounds
-- include: steps
-- include: refusals
-- include: movements
-- include: debits
-- include: credits
-- include: rollbacks
-- include: round_closings
-- include: slip_changes
-- How each operation is decided, what changes slips beside these. Its functions are made when a call's first step
-- needs them: most calls are one debit, and making functions is a good part of what a call costs.
local OPERATIONS = {
  debit = debits, credit = credits, rollback = rollbacks, sweep = rollbacks, close_round = round_closings,
  hold = debits, place = debits,
}
local decisions = {}

local function decide_new(step)
  local operation = step.operation
  local decision = decisions[operation]
  if not decision then
    decision = (OPERATIONS[operation] or slip_changes)()
    decisions[operation] = decision
  end
  return decision(step)
end

-- The first answer again. A rollback that moved money says so with another outcome: the original is rolled
-- back already.
local function replay(record)
  local outcome = record.outcome
  if record.slip then
    seen(call.source, opener_of(record.slip)) -- the answer tells of it
  end
  if record.operation == 'rollback' and outcome == 'applied' then
    outcome = 'already_rolled_back'
  end
  return { outcome = outcome, record = record, replayed = true }
end

-- What stands under the step's id answers before anything else is looked at.
local function decide(step)
  local record = seen(call.source, step.id)
  if not record then
    return decide_new(step)
  end
  if record.state == 'tombstone' then
    return refuse_for_now(step, 'TRANSACTION_ROLLED_BACK', nil, record.related)
  end
  if record.fingerprint ~= step.fingerprint then
    return refuse_for_now(step, 'TRANSACTION_ID_CONFLICT', record.currency)
  end
  if record.state == 'refused' then
    return refuse_as_before(step, record)
  end
  if record.state == 'rolled_back' then
    return refuse_for_now(step, 'TRANSACTION_ROLLED_BACK', record.currency, record.related)
  end
  return replay(record)
end

local function decide_all()
  local results = {}
  for i, step in ipairs(call.steps) do
    local result, refusal = decide(step)
    if not result then
      return nil, refusal
    end
    results[i] = result
  end
  return results
end

-- Writes the outbox record, gives what was recorded its place (entries are numbered from 0 within the record),
-- and stores all that changed.
local function store(entries, recorded)
  local booked_ms = booked_time_ms()
  local trace = ARGV[FIRST_STEP + #call.steps * STEP_FIELD_COUNT]
  local position = append_record(call.player, booked_ms, entries, trace)
  for i, record in ipairs(recorded) do
    record.position, record.booked_ms = position .. '-' .. string.format('%d', i - 1), booked_ms
  end
  store_wallets(booked_ms, position)
  store_transactions(call.source, booked_ms)
  store_rounds(booked_ms)
end

-- Writes the call's effect.
local function commit(results)
  local entries, recorded = {}, {}
  for _, result in ipairs(results) do
    if not result.replayed then
      entries[#entries + 1], recorded[#recorded + 1] = result.entry, result.record
      if result.tombstone then
        entries[#entries + 1], recorded[#recorded + 1] = result.tombstone_entry, result.tombstone
      end
    end
  end
  if #entries > 0 then
    store(entries, recorded)
  end
end

-- The record of an id that this call would have used, had it not been refused.
local function refused_record(step, refusal)
  local own = step == refusal.step
  local original = step.operation == 'rollback' and seen(call.source, step.reference)
  local currency = original and original.currency or step.moved_currency or step.currency
  if own and refusal.currency then
    currency = refusal.currency
  end
  local wallet = currency and currency ~= '' and stored_wallet(currency) or nil
  local amount = step.moved or original and amount_in(step, currency) or step.amount
  return {
    id = step.id, state = 'refused', fingerprint = step.fingerprint, operation = step.operation,
    kind = step.kind, currency = currency, amount = amount, reason = refusal.reason,
    related = own and refusal.related or refusal.step.id,
    version = wallet and wallet.version, status = wallet and wallet.status, cash = wallet and wallet.cash,
    bonus = wallet and wallet.bonus, held = wallet and wallet.held,
    receivable = wallet and wallet.receivable,
    game = step.game, round = step.round, reference = step.reference, conversion = step.conversion,
  }, wallet
end

-- Forgets what the call has tried, and remembers a final refusal under all ids that are new in it.
local function commit_refusal(refusal)
  wallets, changed_wallets, transactions, changed_transactions, changed_rounds = {}, {}, {}, {}, {}
  local entries, recorded = {}, {}
  for _, step in ipairs(call.steps) do
    if not seen(call.source, step.id) then
      local record, wallet = refused_record(step, refusal)
      local awaited = record_of(call.source, step.id)
      record.wins = awaited and awaited.wins
      put_transaction(record)
      local credit_line = wallet and wallet.credit_line
      entries[#entries + 1] = encode_entry('refused', call.source, record, credit_line, false, step)
      recorded[#recorded + 1] = record
      if step == refusal.step then
        refusal.record = record
      end
    end
  end
  store(entries, recorded)
end

-- outcome, replayed, position, booked time, late, receivable change, currency, then the wallet right after it
-- (version, status, cash, bonus, held, receivable), the wallet's text as it is now, the conversion, and
-- what the amount became by it, and the slip as it is now.
local function result_fields(reply, result)
  local record, last = result.record, #reply
  local wallet = record.version and record.version ~= '' and wallet_of(record.currency)
  reply[last + 1], reply[last + 2] = result.outcome, result.replayed and '1' or '0'
  reply[last + 3], reply[last + 4] = record.position, record.booked_ms
  reply[last + 5], reply[last + 6] = record.late or '', record.receivable_change or ''
  reply[last + 7] = wallet and record.currency or ''
  reply[last + 8], reply[last + 9] = record.version or '', record.status or ''
  reply[last + 10], reply[last + 11] = record.cash or '', record.bonus or ''
  reply[last + 12], reply[last + 13] = record.held or '', record.receivable or ''
  reply[last + 14] = wallet and encode_wallet(wallet) or ''
  reply[last + 15], reply[last + 16] = record.conversion or '', record.conversion and record.amount or ''
  local opener = record.slip and transactions[opener_of(record.slip)]
  reply[last + 17] = opener and opener.slip or ''
end

-- reason, step index, replayed, position, related id, currency, then the wallet when it was refused (version,
-- status, cash, bonus, held, receivable, credit line).
local function refusal_fields(refusal)
  local record = refusal.record
  local currency = refusal.currency or ''
  local now = currency ~= '' and stored_wallet(currency) or nil
  local seen_wallet = record and record.version and record.version ~= '' and record or now
  return {
    'REFUSED', refusal.reason, string.format('%d', refusal.step.index), refusal.replayed and '1' or '0',
    record and record.position or '', refusal.related or '', now and currency or '',
    seen_wallet and seen_wallet.version or '', seen_wallet and seen_wallet.status or '',
    seen_wallet and seen_wallet.cash or '', seen_wallet and seen_wallet.bonus or '',
    seen_wallet and seen_wallet.held or '', seen_wallet and seen_wallet.receivable or '',
    now and now.credit_line or '',
  }
end

-- Whether nobody can tell if a step was applied before: a refusal would say that it was not.
local function may_be_applied(step)
  return not seen(call.source, step.id) and is_unchecked(id_field(call.source, step.id))
end

local function transact()
  local results, refusal = decide_all()
  if not results then
    for _, step in ipairs(call.steps) do
      if may_be_applied(step) then
        return { 'UNCHECKED' }
      end
    end
    if refusal.final then
      commit_refusal(refusal)
    end
    return refusal_fields(refusal)
  end

  commit(results)
  local reply = { 'OK' }
  for _, result in ipairs(results) do
    result_fields(reply, result)
  end
  return reply
end

if redis.call('GET', KEYS[1]) ~= call.witness then
  return { 'FENCED' }
end
if not residence then
  return { 'MISS' }
end
read_absent(ARGV[11])
read_steps()
return unless_stopped(transact)
