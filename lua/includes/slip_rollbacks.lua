-- include: slips
-- A rollback of what changed a slip brings back the slip as it was, as long as nothing that stands came after it. Such
-- a rollback can be rolled back itself, once.

-- The slip's opener and its text after the rollback of `original`; or a refusal.
local function undo_slip(step, original)
  local tools = use_slips()
  local before = tools.decode(original.slip)
  local opener = seen(call.source, before.opener)
  local undoes_rollback = original.operation == 'rollback'
  local undid_rollback = undoes_rollback and seen(call.source, original.reference).operation == 'rollback'
  if undid_rollback or not opener or opener.state ~= 'applied' then
    return refuse_finally(step, 'NOT_REVERSIBLE', original.currency, before.opener)
  end
  local current = tools.decode(opener.slip)
  local version, seal = tools.next_version(current, step.id)
  local newest = (undoes_rollback or current.undone ~= '' and current.last ~= original.id) and current.undone
    or current.last
  if newest ~= original.id then
    return refuse_finally(step, 'SLIP_MOVED_ON', original.currency, newest ~= '' and newest or current.last)
  end
  if original.id == opener.id then
    current.state, current.held, current.held_worth = 'cancelled', '0', '0'
    current.staked, current.live, current.live_worth, current.undone = '0', '0', '0', step.id
    before = current
  elseif not undoes_rollback then
    before.undone = step.id
  end
  before.version, before.seal = version, seal
  return opener, tools.encode(before)
end

-- Once the rollback is applied: what it undid does not stand any more; what a rollback had undone stands again.
local function put_undone_slip(original, opener, text)
  opener.slip = text
  put_transaction(opener)
  if original.operation == 'rollback' then
    local redone = seen(call.source, original.reference)
    redone.state, redone.related = 'applied', ''
    put_transaction(redone)
  end
end
