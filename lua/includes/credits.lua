-- include: settlements
-- include: shortfalls
-- A credit gives cash: a win, a refund, a deposit and so on. What the player owes is paid from it first.
local function credits()
  -- Whether a win or refund fits the bet that it names.
  local function check_bet(step, wallet)
    local bet = seen(call.source, step.reference)
    if not bet then
      if call.unknown_bet == 'refuse' then
        return refuse_for_now(step, 'REFERENCE_NOT_FOUND', wallet.currency)
      end
      return true
    end
    if bet.state == 'tombstone' then
      return refuse_finally(step, 'BET_ROLLED_BACK', wallet.currency, bet.related)
    end
    if bet.state == 'refused' then
      return refuse_finally(step, 'BET_REFUSED', wallet.currency)
    end
    local is_bet = bet.operation == 'debit' and bet.kind == 'bet'
    local names_round = step.round ~= '' or step.game ~= ''
    local other_round = names_round and (step.round ~= bet.round or step.game ~= bet.game)
    local other_currency = bet.currency ~= wallet.currency or requested(bet) ~= step.currency
    if not is_bet or other_currency or other_round then
      return refuse_finally(step, 'REFERENCE_MISMATCH', wallet.currency)
    end
    if bet.state == 'rolled_back' then
      return refuse_finally(step, 'BET_ROLLED_BACK', wallet.currency, bet.related)
    end
    return true
  end

  -- Whether a win or refund that names only a round finds a bet there.
  local function check_round_bets(step, round, wallet)
    if round.bets == 0 then
      if call.unknown_bet == 'refuse' then
        return refuse_for_now(step, 'REFERENCE_NOT_FOUND', wallet.currency)
      end
    elseif round.live_bets == 0 then
      return refuse_finally(step, 'BET_ROLLED_BACK', wallet.currency)
    end
    return true
  end

  local function check_settlement(step, round, wallet)
    if step.reference ~= '' then
      return check_bet(step, wallet)
    end
    if round then
      return check_round_bets(step, round, wallet)
    end
    return true
  end

  local function credit(step)
    local wallet, refusal = check_wallet(step)
    if not wallet then
      return nil, refusal
    end
    local late = ''
    local settles = settles_bets(step)
    if settles then
      local fits_bet, misfit = check_settlement(step, round_named(step.game, step.round), wallet)
      if not fits_bet then
        return nil, misfit
      end
      local round = settled_round(step)
      if round and round.state == 'closed' then
        if call.late_win == 'refuse' then
          return refuse_finally(step, 'ROUND_CLOSED', wallet.currency)
        end
        late = '1'
      end
    end
    if wallet.status == 'closed' and STARTS_PLAY[step.kind] then
      return refuse_finally(step, 'WALLET_CLOSED', wallet.currency)
    end

    local cash, receivable = give(wallet, step.moved)
    local change = { cash = cash, bonus = '0', held = '0', receivable = receivable }
    local facts = {
      kind = step.kind, amount = step.moved, game = step.game, round = step.round, late = late,
      conversion = step.conversion,
    }
    local result, overflow = apply(step, wallet, change, facts)
    if not result then
      return nil, overflow
    end
    if settles then
      count_settlement(result.record, 1)
    end
    close_round_if_asked(step)
    return result
  end

  return credit
end

