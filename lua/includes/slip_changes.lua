-- include: slips
-- include: movements
-- include: shortfalls
-- What becomes of a slip once it is open, and what it never allows.
local function slip_changes()
  local tools = use_slips()
  local ALLOWED_IN = {
    capture = 'held', release = 'held', expire = 'held', settle = 'open', void = 'open', cash_out = 'open',
    resettle = 'settled', unsettle = 'settled', reopen = 'voided',
  }
  local OF_HOLDS = { capture = true, release = true, expire = true }
  local KINDS = {
    settle = 'win', resettle = 'win', unsettle = 'win', void = 'refund', reopen = 'refund', cash_out = 'cash_out',
  }

  -- Why a slip in this state does not allow the operation. What comes before the stake is placed may succeed later.
  local function refuse_transition(step, slip, currency)
    local state, last = slip.state, slip.last
    if step.operation == 'expire' then
      return refuse_for_now(step, 'HOLD_NOT_DUE', currency)
    elseif state == 'held' then
      return refuse_for_now(step, 'SLIP_NOT_PLACED', currency)
    elseif state == 'released' then
      return refuse_finally(step, 'HOLD_RELEASED', currency, last)
    elseif state == 'expired' then
      return refuse_finally(step, 'HOLD_EXPIRED', currency, last)
    elseif OF_HOLDS[step.operation] then
      return refuse_finally(step, 'HOLD_CLOSED', currency, last)
    elseif step.operation == 'reopen' then
      return refuse_finally(step, 'SLIP_NOT_VOIDED', currency, last)
    elseif state == 'settled' then
      return refuse_finally(step, 'SLIP_SETTLED', currency, last)
    elseif state == 'voided' then
      return refuse_finally(step, 'SLIP_VOIDED', currency, last)
    elseif state == 'cashed_out' then
      return refuse_finally(step, 'SLIP_CASHED_OUT', currency, last)
    end
    return refuse_finally(step, 'SLIP_NOT_SETTLED', currency, last)
  end

  -- The transaction that opened the slip; or a refusal.
  local function find_opener(step)
    local opener = seen(call.source, step.reference)
    if not opener then
      return refuse_for_now(step, 'REFERENCE_NOT_FOUND', step.currency)
    end
    if opener.state == 'tombstone' or opener.state == 'rolled_back' then
      return refuse_finally(step, 'BET_ROLLED_BACK', opener.currency, opener.related)
    end
    if opener.state == 'refused' then
      return refuse_finally(step, 'BET_REFUSED', opener.currency)
    end
    local is_slip = opener.slip and opener_of(opener.slip) == opener.id
    local other_currency = step.currency ~= '' and step.currency ~= requested(opener)
    if not is_slip or other_currency or opener.kind ~= 'bet' and not OF_HOLDS[step.operation] then
      return refuse_finally(step, 'REFERENCE_MISMATCH', opener.currency)
    end
    return opener
  end

  local function is_due(slip)
    return slip.expires_ms ~= '' and not is_below(now_ms(), slip.expires_ms)
  end

  local function end_hold(slip, opener)
    slip.held, slip.held_worth = '0', '0'
    if slip.staked == '0' then
      slip.state = 'released'
    else
      slip.state = opener.kind == 'bet' and 'open' or 'captured'
    end
  end

  local function gives(wallet, amount)
    local cash, receivable = give(wallet, amount)
    return { cash = cash, held = '0', receivable = receivable }
  end

  local function takes_back(step, wallet, amount)
    local cash, receivable = take_back(wallet, amount)
    if not cash then
      return refuse_finally(step, 'INSUFFICIENT_FUNDS', wallet.currency)
    end
    return { cash = cash, held = '0', receivable = receivable }
  end

  -- Each changes the slip and returns how the wallet changes, what that is in the slip's currency, and in the wallet's;
  -- or a refusal.
  local changes = {}

  function changes.capture(step, slip, opener, wallet)
    if is_due(slip) then
      return refuse_finally(step, 'HOLD_EXPIRED', wallet.currency, slip.last)
    end
    if is_below(slip.held, step.amount) then
      return refuse_finally(step, 'HOLD_EXCEEDED', wallet.currency)
    end
    slip.held = subtract(slip.held, step.amount)
    local rest = smaller(tools.worth(opener, slip.held, true), slip.held_worth)
    local taken, freed = subtract(slip.held_worth, rest), '0'
    slip.held_worth = rest
    slip.staked, slip.live = add(slip.staked, step.amount), add(slip.live, step.amount)
    slip.live_worth = add(slip.live_worth, taken)
    if slip.held == '0' or tools.terms(step).is_final then
      freed = rest
      end_hold(slip, opener)
    end
    return { cash = freed, held = negate(add(taken, freed)), receivable = '0' }, step.amount, taken
  end

  function changes.release(step, slip, opener, wallet)
    local amount = step.amount ~= '' and step.amount or slip.held
    if is_below(slip.held, amount) then
      return refuse_finally(step, 'HOLD_EXCEEDED', wallet.currency)
    end
    slip.held = subtract(slip.held, amount)
    local rest = slip.held == '0' and '0' or smaller(tools.worth(opener, slip.held, true), slip.held_worth)
    local freed = subtract(slip.held_worth, rest)
    slip.held_worth = rest
    if slip.held == '0' then
      end_hold(slip, opener)
    end
    return { cash = freed, held = negate(freed), receivable = '0' }, nil, freed
  end

  function changes.expire(step, slip, opener, wallet)
    if not is_due(slip) then
      return refuse_for_now(step, 'HOLD_NOT_DUE', wallet.currency)
    end
    local change, asked, freed = changes.release(step, slip, opener, wallet)
    slip.state = slip.state == 'released' and 'expired' or slip.state
    return change, asked, freed
  end

  function changes.settle(step, slip, opener, wallet)
    slip.paid = add(slip.paid, step.amount)
    local total = tools.worth(opener, slip.paid, false)
    local moved = subtract(total, slip.paid_worth)
    slip.paid_worth = total
    if tools.terms(step).is_final then
      slip.state = 'settled'
    end
    return gives(wallet, moved), step.amount, moved
  end

  -- Settlements have paid so much, whatever they had paid before.
  local function set_paid(step, slip, opener, wallet, paid)
    local total = tools.worth(opener, paid, false)
    local asked, moved = subtract(paid, slip.paid), subtract(total, slip.paid_worth)
    slip.paid, slip.paid_worth = paid, total
    if is_negative(moved) then
      moved = negate(moved)
      local change, refusal = takes_back(step, wallet, moved)
      return change, change and negate(asked) or refusal, moved
    end
    return gives(wallet, moved), is_negative(asked) and negate(asked) or asked, moved
  end

  function changes.resettle(step, slip, opener, wallet)
    return set_paid(step, slip, opener, wallet, step.amount)
  end

  function changes.unsettle(step, slip, opener, wallet)
    slip.state = 'open'
    return set_paid(step, slip, opener, wallet, '0')
  end

  function changes.void(step, slip, _, wallet)
    if slip.paid ~= '0' then
      return refuse_finally(step, 'SLIP_SETTLED', wallet.currency, slip.last)
    end
    slip.state = 'voided'
    return gives(wallet, slip.live_worth), slip.live, slip.live_worth
  end

  function changes.reopen(step, slip, _, wallet)
    slip.state = 'open'
    local change, refusal = takes_back(step, wallet, slip.live_worth)
    return change, change and slip.live or refusal, slip.live_worth
  end

  function changes.cash_out(step, slip, opener, wallet)
    local stake = tools.terms(step).stake
    stake = stake ~= '' and stake or slip.live
    if is_below(slip.live, stake) then
      return refuse_finally(step, 'STAKE_EXCEEDED', wallet.currency)
    end
    slip.live = subtract(slip.live, stake)
    slip.live_worth = smaller(tools.worth(opener, slip.live, true), slip.live_worth)
    slip.cashed = add(slip.cashed, step.amount)
    if slip.live == '0' then
      slip.state = 'cashed_out'
    end
    local moved = tools.worth(opener, step.amount, false)
    return gives(wallet, moved), step.amount, moved
  end

  -- How a part of a slip was converted: at the slip's own rate.
  local function conversion_of(opener, asked)
    if not opener.conversion or not asked then
      return nil
    end
    local currency, lock = string.match(opener.conversion, '^([^;]*);[^;]*;([^;]*)')
    return table.concat({ currency, asked, lock, 'reference' }, ';')
  end

  return function(step)
    local opener, refusal = find_opener(step)
    if not opener then
      return nil, refusal
    end
    local wallet = wallet_of(opener.currency)
    if step.expected_version ~= '' and step.expected_version ~= wallet.version then
      return refuse_for_now(step, 'VERSION_MISMATCH', wallet.currency)
    end
    local sets_total = step.operation == 'resettle'
    if step.amount == '0' and call.zero_amount == 'refuse' and not sets_total then
      return refuse_finally(step, 'ZERO_AMOUNT_REFUSED', wallet.currency)
    end
    local slip = tools.decode(opener.slip)
    if slip.state ~= ALLOWED_IN[step.operation] then
      return refuse_transition(step, slip, wallet.currency)
    end
    local change, asked, moved = changes[step.operation](step, slip, opener, wallet)
    if not change then
      return nil, asked
    end
    if opener.conversion and asked and asked ~= '0' and moved == '0' and not sets_total then
      return refuse_for_now(step, 'AMOUNT_TOO_SMALL', wallet.currency)
    end
    slip.version, slip.seal = tools.next_version(slip, step.id)
    slip.last, slip.undone = step.id, ''
    change.bonus = '0'
    local text = tools.encode(slip)
    local facts = {
      kind = KINDS[step.operation] or opener.kind, amount = moved, game = opener.game, round = '', late = '',
      conversion = conversion_of(opener, asked), slip = opener.slip, slip_after = text,
    }
    local result, overflow = apply(step, wallet, change, facts)
    if not result then
      return nil, overflow
    end
    opener.slip = text
    put_transaction(opener)
    return result
  end
end
