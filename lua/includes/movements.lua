-- include: wallets
-- include: transactions
-- include: rounds
-- include: outbox
-- include: refusals
-- include: steps
-- include: conversions
-- What debits, credits and rollbacks have in common.
local SETTLES = { win = true, refund = true }

local function settles_bets(record)
  return record.operation == 'credit' and SETTLES[record.kind] or false
end

local convert

-- The wallet that a step moves; or a refusal. Afterwards step.moved is by how much.
local function find_wallet(step)
  if may_be_foreign(step) then
    convert = convert or conversions()
    local converted, refusal = convert(step)
    if converted ~= false then
      return converted, refusal
    end
  end
  step.moved = step.amount
  local wallet = wallet_of(step.currency)
  if not wallet then
    return refuse_for_now(step, 'WALLET_NOT_FOUND')
  end
  return wallet
end

-- The part of "does it fit what is stored" that debits and credits share. Returns the wallet, or a refusal.
local function check_wallet(step)
  local wallet, refusal = find_wallet(step)
  if not wallet then
    return nil, refusal
  end
  if step.expected_version ~= '' and step.expected_version ~= wallet.version then
    return refuse_for_now(step, 'VERSION_MISMATCH', wallet.currency)
  end
  if step.amount == '0' and call.zero_amount == 'refuse' then
    return refuse_finally(step, 'ZERO_AMOUNT_REFUSED', wallet.currency)
  end
  local is_debit = step.is_debit
  local is_new_play = is_debit or STARTS_PLAY[step.kind]
  if call.source_status == 'disabled' and is_new_play then
    return refuse_finally(step, 'SOURCE_DISABLED', wallet.currency)
  end
  local status, wallet_status = step.currency_status, step.wallet_currency_status
  if is_new_play and (status == 'disabled' or wallet_status == 'disabled')
    or is_debit and (status == 'no_new_debits' or wallet_status == 'no_new_debits') then
    return refuse_finally(step, 'CURRENCY_DISABLED', wallet.currency)
  end
  return wallet
end

-- Adds the changes to the wallet, gives it its next version and remembers the transaction under its id.
-- Everything has been checked but the size of the new balances, which is checked here before any change.
local function apply(step, wallet, change, facts)
  local cash = add(wallet.cash, change.cash)
  local bonus = add(wallet.bonus, change.bonus)
  local held = add(wallet.held, change.held)
  local receivable = add(wallet.receivable, change.receivable)
  if not (fits(cash) and fits(bonus) and fits(held) and fits(receivable)) then
    return refuse_finally(step, 'BALANCE_OVERFLOW', wallet.currency)
  end
  wallet.cash, wallet.bonus, wallet.held, wallet.receivable = cash, bonus, held, receivable
  advance(wallet)
  local record = {
    id = step.id,
    state = 'applied',
    fingerprint = step.fingerprint,
    operation = step.operation,
    kind = facts.kind,
    currency = wallet.currency,
    amount = facts.amount,
    cash_change = change.cash,
    bonus_change = change.bonus,
    held_change = change.held,
    receivable_change = change.receivable,
    version = wallet.version,
    status = wallet.status,
    cash = cash,
    bonus = bonus,
    held = held,
    receivable = receivable,
    game = facts.game,
    round = facts.round,
    reference = step.reference,
    outcome = 'applied',
    late = facts.late,
    conversion = facts.conversion,
    slip = facts.slip,
  }
  put_transaction(record)
  local slip_after = facts.slip_after or facts.slip
  local entry = encode_entry('applied', call.source, record, wallet.credit_line, true, step, slip_after)
  return { outcome = 'applied', record = record, entry = entry }
end

-- The round of a transaction, or nil where it named none.
local function round_named(game, round)
  return round ~= '' and round_of(call.source, game, round) or nil
end

local function count_bet(round, conversion)
  round.bets, round.live_bets = round.bets + 1, round.live_bets + 1
  if conversion then
    lock_rate(round, conversion)
  end
  put_round(round)
end

local function close_round_if_asked(step)
  if step.closes_round == '1' then
    local round = round_of(call.source, step.game, step.round)
    if round.state == 'open' then
      round.state, round.is_closing = 'closed', true
    end
    put_round(round)
  end
end

