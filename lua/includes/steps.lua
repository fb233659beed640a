-- The call as it came: who calls, by which policies, and the steps in their order.
local STEP_FIELDS = {
  'operation', 'kind', 'id', 'fingerprint', 'currency', 'amount', 'currency_status', 'game', 'round',
  'reference', 'closes_round', 'expected_version', 'occurred_ms', 'metadata',
}
local FIRST_STEP = 12

local call = {
  epoch = ARGV[1],
  player = ARGV[2],
  source = ARGV[3],
  settled_rollback = ARGV[4],
  unknown_bet = ARGV[5],
  late_win = ARGV[6],
  shortfall = ARGV[7],
  zero_amount = ARGV[8],
  source_status = ARGV[9],
  -- ARGV[10] is the number of steps; ARGV[11] is kept for later formats.
  steps = {},
  rolled_back_here = {},
}

local function read_steps()
  local at = FIRST_STEP
  for i = 1, tonumber(ARGV[10]) do
    local step = { index = i - 1 }
    for _, name in ipairs(STEP_FIELDS) do
      step[name] = ARGV[at]
      at = at + 1
    end
    call.steps[i] = step
    if step.operation == 'rollback' then
      call.rolled_back_here[step.reference] = true
    end
  end
end

