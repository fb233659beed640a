-- The call as it came: who calls, by which policies, and the steps in their order.
local STEP_FIELD_COUNT = 19
local FIRST_STEP = 12
local STARTS_PLAY = { deposit = true, bonus = true, exchange = true }

local call = {
  witness = ARGV[1],
  player = ARGV[2],
  source = ARGV[3],
  settled_rollback = ARGV[4],
  unknown_bet = ARGV[5],
  late_win = ARGV[6],
  shortfall = ARGV[7],
  zero_amount = ARGV[8],
  source_status = ARGV[9],
  -- ARGV[10] is the number of steps, ARGV[11] what the ledger does not know (includes/older.lua).
  steps = {},
  rolled_back_here = {},
}

local function read_steps()
  for i = 1, tonumber(ARGV[10]) do
    local at = FIRST_STEP + (i - 1) * STEP_FIELD_COUNT
    local step = {
      index = i - 1,
      operation = ARGV[at],
      kind = ARGV[at + 1],
      id = ARGV[at + 2],
      fingerprint = ARGV[at + 3],
      currency = ARGV[at + 4],
      amount = ARGV[at + 5],
      currency_status = ARGV[at + 6],
      game = ARGV[at + 7],
      round = ARGV[at + 8],
      reference = ARGV[at + 9],
      closes_round = ARGV[at + 10],
      expected_version = ARGV[at + 11],
      occurred_ms = ARGV[at + 12],
      metadata = ARGV[at + 13],
      wallet = ARGV[at + 14],
      converts = ARGV[at + 15],
      offer = ARGV[at + 16],
      terms = ARGV[at + 17],
      session_fault = ARGV[at + 18],
    }
    local operation = step.operation
    step.is_debit = operation == 'debit' or operation == 'hold' or operation == 'place'
    call.steps[i] = step
    if operation == 'rollback' then
      call.rolled_back_here[step.reference] = true
    end
  end
end


-- The amount that a rollback names, where that is in the currency of what it undoes.
local function amount_in(step, currency)
  return (currency == '' or step.currency == currency) and step.amount or ''
end
