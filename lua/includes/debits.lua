-- include: movements
-- include: slips
-- A debit takes cash: a bet, a tip, a withdrawal, a correction, what is sold in an exchange. A hold sets it aside, and
-- what is placed is a bet with a slip.
local function debits()
  local function debit(step)
    -- Who may bet is known outside; that a bet was refused for it is decided here, under its id: a copy of it that is
    -- still under way finds it refused, and one that comes after it was taken never gets here.
    local fault = step.session_fault
    if fault == 'unknown' then
      return refuse_finally(step, 'SESSION_UNKNOWN', step.currency)
    elseif fault == 'over' then
      return refuse_finally(step, 'SESSION_OVER', step.currency)
    elseif fault ~= '' then
      return refuse_finally(step, 'SESSION_MISMATCH', step.currency)
    end
    local wallet, refusal = check_wallet(step)
    if not wallet then
      return nil, refusal
    end
    -- What an exchange buys is booked under its quote's id, right after what it sells.
    local use = step.kind == 'exchange' and seen(call.source, step.reference)
    if use then
      return refuse_for_now(step, 'QUOTE_USED', wallet.currency, use.reference)
    end
    local round = step.kind == 'bet' and round_named(step.game, step.round)
    if round and round.state == 'closed' then
      return refuse_finally(step, 'ROUND_CLOSED', wallet.currency)
    end
    if wallet.status == 'closed' then
      return refuse_finally(step, 'WALLET_CLOSED', wallet.currency)
    end
    if wallet.status == 'debits_frozen' then
      return refuse_finally(step, 'WALLET_FROZEN', wallet.currency)
    end
    local operation = step.operation
    local floor = operation == 'hold' and step.kind == 'withdrawal' and '0' or negate(wallet.credit_line)
    if is_below(subtract(wallet.cash, step.moved), floor) then
      return refuse_finally(step, 'INSUFFICIENT_FUNDS', wallet.currency)
    end

    local held = operation == 'hold' and step.moved or '0'
    local change = { cash = negate(step.moved), bonus = '0', held = held, receivable = '0' }
    local facts = {
      kind = step.kind, amount = step.moved, game = step.game, round = step.round, late = '',
      conversion = step.conversion, slip = operation ~= 'debit' and use_slips().open(step) or nil,
    }
    local awaited = record_of(call.source, step.id)
    local result, overflow = apply(step, wallet, change, facts)
    if not result then
      return nil, overflow
    end
    result.record.wins = awaited and awaited.wins or ''
    if round then
      count_bet(round, step.conversion)
    end
    close_round_if_asked(step)
    return result
  end

  return debit
end

