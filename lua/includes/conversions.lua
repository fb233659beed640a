-- include: rate_arithmetic
-- include: wallets
-- include: stopping
-- include: transactions
-- include: rounds
-- include: refusals
-- include: steps
-- Amounts in another currency than the wallet's, at a rate that is locked. Nearly no call needs any of this: what
-- does the work is made by `conversions` when it is needed.
--
-- A conversion is the text currency;amount;rate lock;origin, the amount and its currency as the caller named them.
-- Origins: current (the rate of now), round (locked by the round's first bet), reference (locked by what the
-- transaction refers to), quote (promised ahead). A rate lock is the text currency,wallet currency,mantissa,exponent
-- and more, with "," between them (fx/rate_locks.py).

-- The currency and the amount that a transaction was asked for in.
local function requested(record)
  if record.conversion then
    return string.match(record.conversion, '^([^;]*);([^;]*)')
  end
  return record.currency, record.amount
end

-- A round keeps the first lock of each pair of currencies.
local function lock_rate(round, conversion)
  local lock = string.match(conversion, '^[^;]*;[^;]*;([^;]*)')
  local pair = string.match(lock, '^[^,]*,[^,]*,')
  local locks = round.locks or ''
  if not string.find(';' .. locks, ';' .. pair, 1, true) then
    round.locks = locks == '' and lock or locks .. ';' .. lock
  end
end

-- Whether a step's amount may have to become one in the currency of its wallet; nearly all are in their own. What
-- settles bets follows their lock, all else goes to the wallet in its own currency, where there is one.
local function may_be_foreign(step)
  if step.wallet ~= '' then
    return step.wallet ~= step.currency
  end
  if step.kind == 'win' or step.kind == 'refund' then
    local bet = step.reference ~= '' and seen(call.source, step.reference)
    local round = not bet and step.round ~= '' and round_of(call.source, step.game, step.round)
    return bet and bet.conversion or round and round.locks or not wallet_of(step.currency)
  end
  return not wallet_of(step.currency)
end

local function conversions()
  local PLAYS = { bet = true, win = true, refund = true }
  local REFERS = { win = true, refund = true, jackpot_win = true, promotional_win = true, correction = true }
  local convert = rate_arithmetic()

  -- The locks that count for a step, and their origin. Wins and refunds, jackpots, prizes and corrections take the one
  -- of the transaction that they name; bets and what settles them that of their round. A bet that was refused has
  -- locked nothing.
  local function locks_of(step)
    local referred = REFERS[step.kind] and step.reference ~= '' and seen(call.source, step.reference)
    if referred then
      local counts = referred.kind ~= 'exchange' and (referred.state == 'applied' or PLAYS[step.kind])
      return counts and referred.conversion, 'reference'
    end
    if PLAYS[step.kind] and step.round ~= '' then
      return round_of(call.source, step.game, step.round).locks, 'round'
    end
  end

  -- The lock for a step's currency, and for its wallet where it names one: lock, wallet's currency, origin, and
  -- whether another one is for another wallet; nil where there is none.
  local function named_lock(step)
    local locks, origin = locks_of(step)
    local lock, wallet, is_ambiguous
    for currency, of_wallet, rest in string.gmatch(locks or '', '([^;,]*),([^;,]*)(,[^;]*)') do
      if currency == step.currency and (step.wallet == '' or step.wallet == of_wallet) then
        is_ambiguous = lock ~= nil
        lock, wallet = lock or currency .. ',' .. of_wallet .. rest, wallet or of_wallet
      end
    end
    return lock, wallet, origin, is_ambiguous
  end

  -- The currency of the only wallet that the player has open; or a refusal.
  local function only_wallet(step)
    local found
    for _, code in ipairs(redis.call('HKEYS', KEYS[3])) do
      if code ~= RESIDENCE and wallet_of(code).status ~= 'closed' then
        if found then
          return refuse_for_now(step, 'WALLET_AMBIGUOUS')
        end
        found = code
      end
    end
    if not found then
      return refuse_for_now(step, 'WALLET_NOT_FOUND')
    end
    return found
  end

  -- What the caller's server says of the wallet's currency: its status, then the rate of now or "!" and why there
  -- is none. Stops where it was not told, and has to know.
  local function offered(step, code, is_locked)
    local offer_code, status, offer = string.match(step.offer, '^([^;]*);([^;]*);(.*)$')
    if offer_code == code then
      return status, offer
    end
    local is_new_play = step.is_debit or STARTS_PLAY[step.kind]
    if not is_locked or is_new_play then
      stop_to_ask('RATE', code, string.format('%d', step.index))
    end
    return 'enabled'
  end

  -- Finds the wallet and converts the amount: into step.moved, with step.conversion and the wallet currency's
  -- status. Returns the wallet, or a refusal; false where nothing is to be converted after all.
  return function(step)
    local lock, code, origin, is_ambiguous = named_lock(step)
    if is_ambiguous then
      return refuse_for_now(step, 'WALLET_AMBIGUOUS')
    end
    if step.wallet ~= '' then
      code = step.wallet
    elseif not lock then
      if wallet_of(step.currency) or step.converts ~= '1' then
        return false
      end
      local refusal
      code, refusal = only_wallet(step)
      if not code then
        return nil, refusal
      end
    end
    local wallet = wallet_of(code)
    if not wallet then
      return refuse_for_now(step, 'WALLET_NOT_FOUND')
    end
    local status, offer = offered(step, code, lock)
    if not lock then
      if string.sub(offer, 1, 1) == '!' then
        return refuse_for_now(step, string.sub(offer, 2), code)
      end
      lock, origin = offer, 'current'
    end
    if step.kind == 'exchange' then
      local expires_ms
      lock, expires_ms = string.match(offer, '^([^;]*);(%d+)$')
      if is_below(expires_ms, now_ms()) then
        return refuse_finally(step, 'QUOTE_EXPIRED', code)
      end
      origin = 'quote'
    end
    local mantissa, exponent = string.match(lock, '^[^,]*,[^,]*,(%d+),(-?%d+),')
    local moved = convert(step.amount, mantissa, tonumber(exponent), step.is_debit)
    if not fits(moved) then
      return refuse_finally(step, 'BALANCE_OVERFLOW')
    end
    step.moved, step.moved_currency, step.wallet_currency_status = moved, code, status
    step.conversion = table.concat({ step.currency, step.amount, lock, origin }, ';')
    if moved == '0' and step.amount ~= '0' then
      return refuse_for_now(step, 'AMOUNT_TOO_SMALL', code)
    end
    return wallet
  end
end
