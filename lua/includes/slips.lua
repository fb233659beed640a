-- include: text
-- include: minor_units
-- include: transactions
-- include: rate_arithmetic
-- include: steps
-- Slips: money that is held, and stakes that are placed, until all is captured, released, settled or void. A slip is
-- named by the transaction that opened it, and its text stands in that one's record. Nearly no call needs any of
-- this: what does the work is made by `slips` when it is needed.
--
-- A slip is FIELDS with GS between them; persistence/slips.py reads it. Amounts are in its own currency; their
-- worths are in the wallet's, at the rate that opening it has locked.
--
-- version  counts the slip's changes, rollbacks among them
-- state    held (some of it is still held) | open (the stake is placed) | settled | voided | cashed_out | captured (of
--          what is no bet) | released | expired | cancelled (nothing was staked)
-- currency  the one that it was asked for in
-- held     what can still be captured or released
-- staked   what was captured or placed
-- live     of that, what was not cashed out
-- paid     by settlements; what cash-outs paid is in `cashed`
-- expires_ms  until when it can be captured; '' for ever
-- last     the transaction that changed it last and stands; undone  the rollback that came right after it, or ''
-- seal     follows from the ids of all that has changed it, in their order: what was decided on another version of it
--          cannot be mistaken for its next
-- opener   the transaction that opened it
local function slips()
  local GS = '\29'
  local FIELDS = {
    'version', 'state', 'currency', 'held', 'staked', 'live', 'paid', 'cashed', 'held_worth', 'live_worth',
    'paid_worth', 'expires_ms', 'seal', 'last', 'undone', 'opener',
  }
  local tools = {}

  function tools.decode(text)
    local slip = {}
    for i, field in ipairs(split(text, GS)) do
      slip[FIELDS[i]] = field
    end
    return slip
  end

  function tools.encode(slip)
    local fields = {}
    for i, name in ipairs(FIELDS) do
      fields[i] = slip[name]
    end
    return table.concat(fields, GS)
  end

  -- What a step says beside its amount: whether it is the last of its sort ('1'), when a hold expires, and which
  -- part of the stake it is about.
  function tools.terms(step)
    local terms = split(step.terms, GS)
    return { is_final = terms[1] == '1', expires_ms = terms[2] or '', stake = terms[3] or '' }
  end

  -- The text of a slip that a step opens with what it moves.
  function tools.open(step)
    local holds = step.operation == 'hold'
    local held, placed = holds and step.amount or '0', holds and '0' or step.amount
    return tools.encode({
      version = '1', state = holds and 'held' or 'open', currency = step.currency, held = held, staked = placed,
      live = placed, paid = '0', cashed = '0',
      held_worth = holds and step.moved or '0', live_worth = holds and '0' or step.moved, paid_worth = '0',
      expires_ms = tools.terms(step).expires_ms, seal = '', last = step.id, undone = '', opener = step.id,
    })
  end

  -- The version and the seal of what a transaction makes of a slip.
  function tools.next_version(slip, id)
    return add(slip.version, '1'), string.sub(redis.sha1hex(slip.seal .. GS .. id), 1, 16)
  end

  -- An amount of a slip in the currency of its wallet.
  function tools.worth(opener, amount, rounds_up)
    if not opener.conversion then
      return amount
    end
    tools.convert = tools.convert or rate_arithmetic()
    local mantissa, exponent = string.match(opener.conversion, '^[^;]*;[^;]*;[^,]*,[^,]*,(%d+),(-?%d+),')
    return tools.convert(amount, mantissa, tonumber(exponent), rounds_up)
  end

  return tools
end

local slip_tools

local function use_slips()
  slip_tools = slip_tools or slips()
  return slip_tools
end

-- The id of the transaction that opened a slip.
local function opener_of(slip)
  return string.match(slip, '[^\29]*$')
end
