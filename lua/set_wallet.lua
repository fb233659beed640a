-- set_wallet: opens a wallet, or sets its status. Naturally idempotent; no money moves.
--
-- KEYS    epoch, outbox, wallets, ids, rounds, older, forgotten: one player's (persistence/valkey/keys.py)
-- ARGV    witness, player, source, operation (open | set_status), currency, status, credit line, expected
--         version ('' for none), metadata
-- Reply   OK, "1" where something changed, the wallet's text | REFUSED, reason, the wallet's text ('' where there
--         is none) | FENCED: the store is not the one that was meant | MISS: the player is not resident
-- Writes  the outbox record and the wallet, both or neither. Opening is version 1, a new status is the next.

-- include: text
-- include: minor_units
-- include: wallets
-- include: outbox
local WITNESS, PLAYER, SOURCE, OPERATION, CURRENCY, STATUS, CREDIT_LINE, EXPECTED_VERSION, METADATA =
  ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]

local function commit(wallet, entry_type, transaction_id)
  advance(wallet)
  local booked_ms = booked_time_ms()
  local record = {
    id = transaction_id, currency = CURRENCY, version = wallet.version, status = wallet.status,
    cash = wallet.cash, bonus = wallet.bonus, held = wallet.held, receivable = wallet.receivable,
  }
  local entry = encode_entry(entry_type, SOURCE, record, wallet.credit_line, true, { metadata = METADATA })
  store_wallets(booked_ms, append_record(PLAYER, booked_ms, { entry }))
  return { 'OK', '1', encode_wallet(wallet) }
end

local function open()
  local wallet = wallet_of(CURRENCY)
  if wallet then
    return { 'OK', '0', encode_wallet(wallet) }
  end
  wallet = {
    currency = CURRENCY, version = '0', status = STATUS, cash = '0', bonus = '0', held = '0',
    receivable = '0', credit_line = CREDIT_LINE, booked_ms = '0',
  }
  return commit(wallet, 'wallet_opened', 'open-' .. CURRENCY)
end

local function set_status()
  local wallet = wallet_of(CURRENCY)
  if not wallet then
    return { 'REFUSED', 'WALLET_NOT_FOUND', '' }
  end
  if EXPECTED_VERSION ~= '' and EXPECTED_VERSION ~= wallet.version then
    return { 'REFUSED', 'VERSION_MISMATCH', encode_wallet(wallet) }
  end
  if wallet.status == STATUS then
    return { 'OK', '0', encode_wallet(wallet) }
  end
  wallet.status = STATUS
  return commit(wallet, 'status_changed', 'status-' .. CURRENCY .. '-' .. add(wallet.version, '1'))
end

if redis.call('GET', KEYS[1]) ~= WITNESS then
  return { 'FENCED' }
end
if not residence then
  return { 'MISS' }
end
return OPERATION == 'open' and open() or set_status()
