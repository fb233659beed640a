-- include: text
-- include: older
-- The player's rounds: a hash of source US game US round → state US bets US live bets US wins US unattributed
-- wins US used (ms, the booked time of the last record that touched it), and US locks where bets were converted:
-- the rate lock of the first bet in each pair of currencies, with ";" between them; where it was closed, US locks
-- (maybe none) US closed (ms, the booked time of what closed it). `bets` counts what was ever
-- bet, `live bets` without what was rolled back; an unattributed win names the round but no bet, so it settles
-- all bets of the round.
local rounds, changed_rounds = {}, {}

local function round_field(source, game, round)
  return source .. US .. game .. US .. round
end

-- The round as this call has left it so far; a new open one where it is not known.
local function round_of(source, game, id)
  local field = round_field(source, game, id)
  local round = rounds[field]
  if not round then
    local text = redis.call('HGET', KEYS[5], field)
    if not text then
      require_unknown(field)
    end
    local fields = text and split(text) or { 'open', '0', '0', '0', '0' }
    round = {
      field = field,
      state = fields[1],
      bets = tonumber(fields[2]),
      live_bets = tonumber(fields[3]),
      wins = tonumber(fields[4]),
      unattributed_wins = tonumber(fields[5]),
      locks = fields[7] ~= '' and fields[7] or nil,
      closed_ms = fields[8],
    }
    rounds[field] = round
  end
  return round
end

local function put_round(round)
  changed_rounds[round.field] = round
end

local function store_rounds(booked_ms)
  for field, round in pairs(changed_rounds) do
    local last = round.locks
    if round.is_closing then
      round.closed_ms = booked_ms
    end
    if round.closed_ms then
      last = (last or '') .. US .. round.closed_ms
    end
    redis.call('HSET', KEYS[5], field, join_all({
      round.state,
      string.format('%d', round.bets),
      string.format('%d', round.live_bets),
      string.format('%d', round.wins),
      string.format('%d', round.unattributed_wins),
      booked_ms,
    }, last))
  end
end

