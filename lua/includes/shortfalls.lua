-- include: minor_units
-- include: steps
-- What a player gets pays first what the player owes; what is taken back may be gone.

-- How cash and receivable change by what the player gets.
local function give(wallet, amount)
  local collected = smaller(amount, wallet.receivable)
  return subtract(amount, collected), negate(collected)
end

-- How they change by what is taken back; nil where the source's policy refuses it because it is gone.
local function take_back(wallet, amount)
  local available = is_negative(wallet.cash) and '0' or wallet.cash
  if call.shortfall == 'negative' or not is_below(available, amount) then
    return negate(amount), '0'
  end
  if call.shortfall == 'reject' then
    return nil
  end
  return negate(available), subtract(amount, available)
end
