-- How a step is refused. Three sorts:
--   final      by the wallet's state: remembered under the id, and given again on every retry
--   passing    not remembered: the same id may succeed later
--   standing   what already stands under the id speaks: nothing more to remember
-- Each returns nil and the refusal, so that a check can `return refuse_…(…)` from a decision.
local function refuse_finally(step, reason, currency, related)
  return nil, { step = step, reason = reason, final = true, currency = currency, related = related or '' }
end

local function refuse_for_now(step, reason, currency, related)
  return nil, { step = step, reason = reason, currency = currency, related = related or '' }
end

local function refuse_as_before(step, record)
  return nil, {
    step = step, reason = record.reason, currency = record.currency, related = record.related,
    replayed = true, record = record,
  }
end

