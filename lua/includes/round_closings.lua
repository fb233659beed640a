-- include: movements
-- A round is closed by a call of its own: no wallet is touched. A round that nobody has named yet is closed all the
-- same, so that bets which come later are refused.
local function round_closings()
  return function(step)
    local was_closed = round_of(call.source, step.game, step.round).state == 'closed'
    local record = {
      id = step.id, state = 'round_closed', fingerprint = step.fingerprint, operation = step.operation,
      kind = step.kind, game = step.game, round = step.round, outcome = was_closed and 'already_closed' or 'applied',
      reference = '',
    }
    put_transaction(record)
    close_round_if_asked(step)
    return {
      outcome = record.outcome, record = record,
      entry = encode_entry('round_closed', call.source, record, nil, false, step),
    }
  end
end
