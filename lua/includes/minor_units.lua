-- Exact arithmetic on amounts: decimal texts of minor units, "-" in front of negative ones, no leading zeros.
--
-- Up to 15 characters an amount is a Lua number, which is exact there (and so is the sum of two). Beyond that
-- it is a row of limbs of seven digits, lowest first, so that no step ever comes near 2^53.
local MAX_DIGITS = 36
local LIMB_DIGITS, LIMB = 7, 10000000

local function is_negative(amount)
  return string.byte(amount, 1) == 45
end

local function negate(amount)
  if amount == '0' then
    return amount
  end
  if is_negative(amount) then
    return string.sub(amount, 2)
  end
  return '-' .. amount
end

-- The sum of two amounts of any length. Its parts are made only for the calls that need them.
local function add_long(a, b)
  local function to_limbs(digits)
    local limbs = {}
    for last = #digits, 1, -LIMB_DIGITS do
      limbs[#limbs + 1] = tonumber(string.sub(digits, math.max(1, last - LIMB_DIGITS + 1), last))
    end
    return limbs
  end

  local function from_limbs(limbs)
    local top = #limbs
    while top > 1 and limbs[top] == 0 do
      top = top - 1
    end
    local texts = { string.format('%d', limbs[top]) }
    for i = top - 1, 1, -1 do
      texts[#texts + 1] = string.format('%07d', limbs[i])
    end
    return table.concat(texts)
  end

  -- Below, at or above zero as the first magnitude is below, at or above the second.
  local function compare_limbs(x, y)
    if #x ~= #y then
      return #x - #y
    end
    for i = #x, 1, -1 do
      if x[i] ~= y[i] then
        return x[i] - y[i]
      end
    end
    return 0
  end

  local function add_limbs(x, y)
    local sum, carry = {}, 0
    for i = 1, math.max(#x, #y) do
      local limb = (x[i] or 0) + (y[i] or 0) + carry
      carry = limb >= LIMB and 1 or 0
      sum[i] = limb - carry * LIMB
    end
    if carry > 0 then
      sum[#sum + 1] = carry
    end
    return sum
  end

  -- The first magnitude must not be below the second.
  local function subtract_limbs(x, y)
    local difference, borrow = {}, 0
    for i = 1, #x do
      local limb = x[i] - (y[i] or 0) - borrow
      borrow = limb < 0 and 1 or 0
      difference[i] = limb + borrow * LIMB
    end
    return difference
  end

  local a_negative, b_negative = is_negative(a), is_negative(b)
  local a_limbs = to_limbs(a_negative and string.sub(a, 2) or a)
  local b_limbs = to_limbs(b_negative and string.sub(b, 2) or b)
  if a_negative == b_negative then
    local sum = from_limbs(add_limbs(a_limbs, b_limbs))
    return a_negative and '-' .. sum or sum
  end
  local order = compare_limbs(a_limbs, b_limbs)
  if order == 0 then
    return '0'
  end
  if order > 0 then
    local rest = from_limbs(subtract_limbs(a_limbs, b_limbs))
    return a_negative and '-' .. rest or rest
  end
  local rest = from_limbs(subtract_limbs(b_limbs, a_limbs))
  return b_negative and '-' .. rest or rest
end

local function add(a, b)
  if b == '0' then
    return a
  end
  if #a <= 15 and #b <= 15 then
    return string.format('%.0f', tonumber(a) + tonumber(b))
  end
  return add_long(a, b)
end

local function subtract(a, b)
  return add(a, negate(b))
end

local function is_below(a, b)
  if #a <= 15 and #b <= 15 then
    return tonumber(a) < tonumber(b)
  end
  return is_negative(subtract(a, b))
end

local function smaller(a, b)
  return is_below(a, b) and a or b
end

local function fits(amount)
  return #amount <= MAX_DIGITS or #amount == MAX_DIGITS + 1 and is_negative(amount)
end

