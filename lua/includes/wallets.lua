-- include: text
-- include: minor_units
-- include: residence_marker
-- The player's wallets: a hash with the player's residence and, by currency, version US status US cash US bonus
-- US held US receivable US credit line US booked time (ms). `stored_wallets` keeps the texts that stand in the
-- store, `wallets` what this call makes of them.
local stored_wallets, wallets, changed_wallets = {}, {}, {}

local function decode_wallet(currency, text)
  local fields = split(text)
  return {
    currency = currency,
    version = fields[1],
    status = fields[2],
    cash = fields[3],
    bonus = fields[4],
    held = fields[5],
    receivable = fields[6],
    credit_line = fields[7],
    booked_ms = fields[8],
  }
end

local function encode_wallet(wallet)
  return join({
    wallet.version, wallet.status, wallet.cash, wallet.bonus, wallet.held, wallet.receivable,
    wallet.credit_line, wallet.booked_ms,
  })
end

-- The wallet as this call has left it so far; nil where the player has none.
local function wallet_of(currency)
  local wallet = wallets[currency]
  if wallet == nil then
    local text = redis.call('HGET', KEYS[3], currency)
    wallet = text and decode_wallet(currency, text)
    stored_wallets[currency] = text
    wallets[currency] = wallet
  end
  return wallet or nil
end

-- The wallet as it stands in the store, whatever this call has tried.
local function stored_wallet(currency)
  return wallet_of(currency) and decode_wallet(currency, stored_wallets[currency])
end

-- Gives the wallet its next version.
local function advance(wallet)
  wallet.version = add(wallet.version, '1')
  changed_wallets[wallet.currency] = wallet
end

local function now_ms()
  local now = redis.call('TIME')
  return string.format('%.0f', tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000))
end

-- The call's one booked time: now, but never before what one of its wallets has booked already.
local function booked_time_ms()
  local booked_ms = now_ms()
  for _, wallet in pairs(wallets) do
    if wallet and is_below(booked_ms, wallet.booked_ms) then
      booked_ms = wallet.booked_ms
    end
  end
  return booked_ms
end

-- Stores what changed, and that the player was in use just now.
local function store_wallets(booked_ms, position)
  residence.position, residence.used_ms = position, booked_ms
  local fields = { RESIDENCE, encode_residence() }
  for currency, wallet in pairs(changed_wallets) do
    wallet.booked_ms = booked_ms
    fields[#fields + 1], fields[#fields + 2] = currency, encode_wallet(wallet)
  end
  redis.call('HSET', KEYS[3], unpack(fields))
end

