-- include: settlements
-- include: shortfalls
-- include: slip_rollbacks
-- A rollback undoes an earlier transaction of the same player and source exactly.
local function rollbacks()
  -- A rollback that has nothing to undo: remembered under its own id, without a version.
  local function without_movement(step, outcome, original)
    local currency = original and original.currency or ''
    local record = {
      id = step.id, state = 'no_movement', fingerprint = step.fingerprint, operation = 'rollback',
      kind = 'rollback', currency = currency, amount = amount_in(step, currency),
      game = step.game, round = step.round, reference = step.reference, outcome = outcome,
      related = original and original.related or '',
    }
    put_transaction(record)
    local entry = encode_entry('no_movement', call.source, record, nil, false, step)
    return { outcome = outcome, record = record, entry = entry }
  end

  -- A rollback that came before its original: the original's id is refused from now on.
  local function forestall(step, awaited)
    local result = without_movement(step, 'no_original')
    local tombstone = {
      id = step.reference, state = 'tombstone', related = step.id, wins = awaited and awaited.wins or '',
      game = '', round = '',
    }
    put_transaction(tombstone)
    result.tombstone = tombstone
    result.tombstone_entry = encode_entry('tombstone', call.source, tombstone, nil, false, {})
    return result
  end

  -- How many of the credits that settle a bet would stand after this call. Rollbacks of them count wherever in
  -- the call they are.
  local function standing_wins(bet)
    local round = round_named(bet.game, bet.round)
    local wins = (tonumber(bet.wins) or 0) + (round and round.unattributed_wins or 0)
    for id in pairs(call.rolled_back_here) do
      local win = seen(call.source, id)
      if win and win.state == 'applied' and settles_bets(win) then
        local of_bet = win.reference == bet.id
        local of_round = win.reference == '' and bet.round ~= ''
          and win.round == bet.round and win.game == bet.game
        if of_bet or of_round then
          wins = wins - 1
        end
      end
    end
    return wins
  end

  -- The exact inverse of the original's changes; nil where the source's policy refuses it because the money
  -- that it takes is gone. What it takes off the player's debt and was paid since is given as cash.
  local function inverse_change(original, wallet)
    local change = {
      cash = negate(original.cash_change),
      bonus = negate(original.bonus_change),
      held = negate(original.held_change),
      receivable = negate(original.receivable_change),
    }
    if is_negative(change.cash) then
      local cash, owed = take_back(wallet, original.cash_change)
      if not cash then
        return nil
      end
      change.cash, change.receivable = cash, add(change.receivable, owed)
    end
    local debt = add(wallet.receivable, change.receivable)
    if is_negative(debt) then
      change.cash, change.receivable = subtract(change.cash, debt), negate(wallet.receivable)
    end
    return change
  end

  local function is_other_amount(step, original)
    local currency, amount = requested(original)
    return step.amount ~= '' and (step.amount ~= amount or step.currency ~= currency)
  end

  -- Whether a bet was left without any settlement in a round that is open; or why it is not to be swept. That is
  -- not remembered: the bet may be left alone again.
  local function check_orphan(step, bet)
    if not bet or bet.operation ~= 'debit' or bet.kind ~= 'bet' then
      return refuse_for_now(step, 'REFERENCE_NOT_FOUND')
    end
    if bet.state ~= 'applied' then
      return refuse_for_now(step, 'BET_ROLLED_BACK', bet.currency, bet.related)
    end
    local round = round_named(bet.game, bet.round)
    if not round or round.state == 'closed' then
      return refuse_for_now(step, 'ROUND_CLOSED', bet.currency)
    end
    if standing_wins(bet) > 0 or round.wins > 0 then
      return refuse_for_now(step, 'BET_SETTLED', bet.currency, bet.id)
    end
    return true
  end

  local function rollback(step)
    local original = seen(call.source, step.reference)
    if step.operation == 'sweep' then
      local is_orphan, refusal = check_orphan(step, original)
      if not is_orphan then
        return nil, refusal
      end
      step.operation = 'rollback'
    end
    if not original then
      return forestall(step, record_of(call.source, step.reference))
    end
    if original.state == 'tombstone' or original.state == 'rolled_back' then
      return without_movement(step, 'already_rolled_back', original)
    end
    if original.state == 'refused' then
      return without_movement(step, 'original_refused', original)
    end
    local operation = original.operation
    local is_final = operation == 'rollback' and not original.slip or operation == 'close_round'
    if is_final or original.kind == 'exchange' then
      return refuse_finally(step, 'NOT_REVERSIBLE', original.currency, original.id)
    end
    if is_other_amount(step, original) then
      return refuse_finally(step, 'AMOUNT_MISMATCH', original.currency, original.id)
    end
    if original.kind == 'bet' and call.settled_rollback == 'refuse' and standing_wins(original) > 0 then
      return refuse_finally(step, 'BET_SETTLED', original.currency, original.id)
    end
    local opener, slip_after
    if original.slip then
      opener, slip_after = undo_slip(step, original)
      if not opener then
        return nil, slip_after
      end
    end
    local wallet = wallet_of(original.currency)
    local change = inverse_change(original, wallet)
    if not change then
      return refuse_finally(step, 'INSUFFICIENT_FUNDS', original.currency, original.id)
    end

    local facts = {
      kind = original.kind, amount = original.amount, game = original.game, round = original.round, late = '',
      conversion = original.conversion, slip = opener and opener.slip, slip_after = slip_after,
    }
    local result, overflow = apply(step, wallet, change, facts)
    if not result then
      return nil, overflow
    end
    original.state, original.related = 'rolled_back', step.id
    put_transaction(original)
    if opener then
      put_undone_slip(original, opener, slip_after)
    else
      uncount(original)
    end
    return result
  end

  return rollback
end

