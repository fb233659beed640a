-- include: movements
-- Wins and refunds settle bets: where they are counted, so that rollbacks of bets find them.
-- The round that a win or refund counts in: the one it names, or its bet's.
local function settled_round(record)
  local round = round_named(record.game, record.round)
  local bet = not round and record.reference ~= '' and seen(call.source, record.reference)
  return round or bet and round_named(bet.game, bet.round) or nil
end

-- Counts a settling credit where rollbacks of bets look for it; `by` is 1, or -1 for its own rollback.
local function count_settlement(record, by)
  local round = settled_round(record)
  if record.reference ~= '' then
    count_win(call.source, record.reference, by)
  elseif round then
    round.unattributed_wins = round.unattributed_wins + by
  end
  if round then
    round.wins = round.wins + by
    put_round(round)
  end
end

-- What a rollback takes out of the counts.
local function uncount(original)
  if original.kind == 'bet' and original.round ~= '' then
    local round = round_of(call.source, original.game, original.round)
    round.live_bets = round.live_bets - 1
    put_round(round)
  elseif settles_bets(original) then
    count_settlement(original, -1)
  end
end
