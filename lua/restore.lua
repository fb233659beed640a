-- restore: books once more what stands: an answer that the store lost, or the reversal of one that it should not
-- have given. Nothing is checked but that the id is new; the wallet may end below its floor.
--
-- KEYS    epoch, outbox, wallets, ids, rounds, older, forgotten: one player's (persistence/valkey/keys.py)
-- ARGV    witness, player, what the ledger does not know (includes/older.lua), then the fields of an entry as
--         persistence/outbox.py names them; its version and balances are not used
-- Reply   OK, "1" where it was booked, "0" where the id was known | NO_WALLET | NO_ORIGINAL: what it undoes was
--         never booked | ROLLED_BACK: what it undoes is undone already, or moved nothing | OTHER_EXCHANGE: the other
--         side of the exchange is of another one, or was refused | SLIP_MOVED_ON: its slip has changed otherwise
--         | OVERFLOW | FENCED
--         | MISS | COLD and the id: as transact
-- Writes  the outbox record, the wallet, the ids and the rounds, or nothing: what rollbacks look for is counted as
--         transact counts it.

-- include: text
-- include: minor_units
-- include: wallets
-- include: outbox
-- include: older
-- include: transactions
-- include: rounds
-- include: settlements
-- include: slips
local FIRST_FIELD = 4
local PLAYER = ARGV[2]
local TYPE, OPERATION, SOURCE, ID = ARGV[4], ARGV[5], ARGV[6], ARGV[7]

local function field(number)
  return ARGV[FIRST_FIELD + number - 1]
end

-- What is remembered under the id, and recorded: as it was, but for the wallet's version and balances.
local record = {
  id = ID, operation = OPERATION, kind = field(5), fingerprint = field(6), currency = field(7), amount = field(8),
  game = field(21), round = field(22), reference = field(23), outcome = field(24), reason = field(25),
  related = field(26), late = field(27), conversion = field(31) ~= '' and field(31) or nil,
}
local slip_after = field(32) or ''
local context = {
  game = record.game, round = record.round, closes_round = field(28), occurred_ms = field(29), metadata = field(30),
}
call.source = SOURCE

-- The record says what the wallet has.
local function show(wallet)
  record.version, record.status = wallet.version, wallet.status
  record.cash, record.bonus, record.held, record.receivable =
    wallet.cash, wallet.bonus, wallet.held, wallet.receivable
end

local function change_wallet()
  local wallet = wallet_of(record.currency)
  if not wallet then
    return 'NO_WALLET'
  end
  record.cash_change, record.bonus_change = field(10), field(11)
  record.held_change, record.receivable_change = field(12), field(13)
  local cash, bonus = add(wallet.cash, record.cash_change), add(wallet.bonus, record.bonus_change)
  local held, receivable = add(wallet.held, record.held_change), add(wallet.receivable, record.receivable_change)
  if not (fits(cash) and fits(bonus) and fits(held) and fits(receivable)) then
    return 'OVERFLOW'
  end
  wallet.cash, wallet.bonus, wallet.held, wallet.receivable = cash, bonus, held, receivable
  advance(wallet)
  show(wallet)
  return nil, wallet
end

local function undo_original()
  local original = seen(SOURCE, record.reference)
  if not original then
    return 'NO_ORIGINAL'
  end
  if original.state ~= 'applied' then
    return 'ROLLED_BACK'
  end
  original.state, original.related = 'rolled_back', ID
  put_transaction(original)
  if slip_after == '' then
    uncount(original)
  elseif original.operation == 'rollback' then
    local redone = seen(SOURCE, original.reference)
    redone.state, redone.related = 'applied', ''
    put_transaction(redone)
  end
end

-- The slip becomes what it was, if it is what it had been before; or why not.
local function change_slip()
  local opener = opener_of(slip_after)
  if opener == ID then
    record.slip = slip_after
    return
  end
  local opened = seen(SOURCE, opener)
  if not (opened and opened.slip) then
    return 'NO_ORIGINAL'
  end
  if opened.state ~= 'applied' then
    return 'ROLLED_BACK'
  end
  local tools = use_slips()
  local version, seal = tools.next_version(tools.decode(opened.slip), ID)
  local after = tools.decode(slip_after)
  if version ~= after.version or seal ~= after.seal then
    return 'SLIP_MOVED_ON'
  end
  record.slip, opened.slip = opened.slip, slip_after
  put_transaction(opened)
end

local function count()
  if OPERATION == 'debit' and record.kind == 'bet' and record.round ~= '' then
    count_bet(round_named(record.game, record.round), record.conversion)
  elseif settles_bets(record) then
    count_settlement(record, 1)
  end
  close_round_if_asked(context)
end

-- Whether an exchange's other side is another's: half of it would be left.
local function is_half_of_another()
  local other = record.kind == 'exchange' and seen(SOURCE, record.reference)
  return other and (other.state ~= 'applied' or other.reference ~= ID)
end

local function restore()
  if seen(SOURCE, ID) then
    return { 'OK', '0' }
  end
  if is_half_of_another() then
    return { 'OTHER_EXCHANGE' }
  end
  local wallet
  if TYPE == 'applied' then
    local problem = slip_after ~= '' and change_slip() or OPERATION == 'rollback' and undo_original()
    if not problem then
      problem, wallet = change_wallet()
    end
    if problem then
      return { problem }
    end
  elseif TYPE == 'refused' and record.currency ~= '' then
    wallet = wallet_of(record.currency)
    if wallet then
      show(wallet)
    end
  end
  local awaited = record_of(SOURCE, ID)
  local may_be_awaited = OPERATION == 'debit' or TYPE == 'refused' or TYPE == 'tombstone'
  record.state, record.wins = TYPE, may_be_awaited and awaited and awaited.wins or ''
  put_transaction(record)
  if TYPE == 'applied' or TYPE == 'round_closed' then
    count()
  end
  local credit_line = wallet and wallet.credit_line
  local entry = encode_entry(TYPE, SOURCE, record, credit_line, TYPE == 'applied', context, slip_after)
  local booked_ms = booked_time_ms()
  local position = append_record(PLAYER, booked_ms, { entry })
  record.position, record.booked_ms = position .. '-0', booked_ms
  store_wallets(booked_ms, position)
  store_transactions(SOURCE, booked_ms)
  store_rounds(booked_ms)
  return { 'OK', '1' }
end

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return { 'FENCED' }
end
if not residence then
  return { 'MISS' }
end
read_absent(ARGV[3])
return unless_stopped(restore)
