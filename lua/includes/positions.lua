-- Positions in an outbox, epoch-sequence, as texts.

-- Whether `left` comes before `right`.
local function precedes(left, right)
  local left_epoch, left_sequence = string.match(left, '^(%d+)-(-?%d+)$')
  local right_epoch, right_sequence = string.match(right, '^(%d+)-(-?%d+)$')
  if left_epoch ~= right_epoch then
    return tonumber(left_epoch) < tonumber(right_epoch)
  end
  return tonumber(left_sequence) < tonumber(right_sequence)
end
