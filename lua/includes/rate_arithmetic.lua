-- include: minor_units
-- Amounts times rates, exactly. Made only for the calls that convert something.
local function rate_arithmetic()
  local function limbs_of(digits)
    local limbs = {}
    for last = #digits, 1, -LIMB_DIGITS do
      limbs[#limbs + 1] = tonumber(string.sub(digits, math.max(1, last - LIMB_DIGITS + 1), last))
    end
    return limbs
  end

  -- The product of two texts of digits, with zeros in front.
  local function multiply(a, b)
    local x, y, product = limbs_of(a), limbs_of(b), {}
    for k = 1, #x + #y do
      product[k] = 0
    end
    for i = 1, #x do
      local carry = 0
      for j = 1, #y do
        local sum = product[i + j - 1] + x[i] * y[j] + carry
        carry = math.floor(sum / LIMB)
        product[i + j - 1] = sum - carry * LIMB
      end
      product[i + #y] = carry
    end
    local texts = {}
    for k = #product, 1, -1 do
      texts[#texts + 1] = string.format('%07d', product[k])
    end
    return table.concat(texts)
  end

  local function without_leading_zeros(digits)
    return string.match(digits, '^0*(%d+)$')
  end

  -- The amount times mantissa * 10^exponent, in whole minor units.
  return function(amount, mantissa, exponent, rounds_up)
    local digits = multiply(amount, mantissa)
    if exponent >= 0 then
      return without_leading_zeros(digits .. string.rep('0', exponent))
    end
    digits = string.rep('0', 1 - exponent - #digits) .. digits
    local whole = without_leading_zeros(string.sub(digits, 1, exponent - 1))
    if rounds_up and string.find(string.sub(digits, exponent), '[1-9]') then
      return add(whole, '1')
    end
    return whole
  end
end
