-- restore: books once more what stands: an answer that the store lost, or the reversal of one that it should not
-- have given. Nothing is checked but that the id is new; the wallet may end below its floor.
--
-- KEYS    epoch, outbox, wallets, ids, rounds, older, forgotten: one player's (persistence/valkey/keys.py)
-- ARGV    witness, player, what the ledger does not know (includes/older.lua), then the fields of an entry as
--         persistence/outbox.py names them; its version and balances are not used
-- Reply   OK, "1" where it was booked, "0" where the id was known | NO_WALLET | ROLLED_BACK: what it undoes is
--         undone already | OVERFLOW | FENCED | MISS | COLD and the id: as transact
-- Writes  the outbox record, the wallet and the ids, or nothing. Rounds and the counts of wins are left as they
--         are: the player is loaded from the ledger afterwards.

-- include: text
-- include: minor_units
-- include: wallets
-- include: outbox
-- include: older
-- include: transactions
local FIRST_FIELD = 4
local PLAYER = ARGV[2]
local TYPE, OPERATION, SOURCE, ID = ARGV[4], ARGV[5], ARGV[6], ARGV[7]

local function field(number)
  return ARGV[FIRST_FIELD + number - 1]
end

-- What is remembered under the id, and recorded: as it was, but for the wallet's balances.
local record = {
  id = ID, operation = OPERATION, kind = field(5), fingerprint = field(6), currency = field(7), amount = field(8),
  cash_change = field(10), bonus_change = field(11), held_change = field(12), receivable_change = field(13),
  game = field(21), round = field(22), reference = field(23), outcome = field(24), reason = field(25),
  related = field(26), late = field(27),
}
local context = { closes_round = field(28), occurred_ms = field(29), metadata = field(30) }

local function change_wallet()
  local wallet = wallet_of(record.currency)
  if not wallet then
    return 'NO_WALLET'
  end
  local cash, bonus = add(wallet.cash, record.cash_change), add(wallet.bonus, record.bonus_change)
  local held, receivable = add(wallet.held, record.held_change), add(wallet.receivable, record.receivable_change)
  if not (fits(cash) and fits(bonus) and fits(held) and fits(receivable)) then
    return 'OVERFLOW'
  end
  wallet.cash, wallet.bonus, wallet.held, wallet.receivable = cash, bonus, held, receivable
  advance(wallet)
  record.version, record.status = wallet.version, wallet.status
  record.cash, record.bonus, record.held, record.receivable = cash, bonus, held, receivable
  return nil, wallet
end

local function undo_original()
  local original = seen(SOURCE, record.reference)
  if original and original.state ~= 'applied' then
    return 'ROLLED_BACK'
  end
  if original then
    original.state, original.related = 'rolled_back', ID
    put_transaction(original)
  end
end

local function restore()
  if seen(SOURCE, ID) then
    return { 'OK', '0' }
  end
  local wallet
  if TYPE == 'applied' then
    local problem = OPERATION == 'rollback' and undo_original()
    if not problem then
      problem, wallet = change_wallet()
    end
    if problem then
      return { problem }
    end
  end
  local awaited = record_of(SOURCE, ID)
  record.state, record.wins = TYPE, awaited and awaited.wins or ''
  put_transaction(record)
  local entry = encode_entry(TYPE, SOURCE, record, wallet and wallet.credit_line, wallet ~= nil, context)
  local booked_ms = booked_time_ms()
  local position = append_record(PLAYER, booked_ms, { entry })
  record.position, record.booked_ms = position .. '-0', booked_ms
  store_wallets(booked_ms, position)
  store_transactions(SOURCE, booked_ms)
  return { 'OK', '1' }
end

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return { 'FENCED' }
end
if not residence then
  return { 'MISS' }
end
read_absent(ARGV[3])
return unless_cold(restore)
