-- Texts of several fields, joined by US (0x1F), which no id may contain.
local US = '\31'

local function join(fields)
  return table.concat(fields, US)
end

-- The fields, and after them one or two that most texts end before.
local function join_all(fields, next_to_last, last)
  local has_last = last and last ~= ''
  if has_last or next_to_last and next_to_last ~= '' then
    fields[#fields + 1] = next_to_last or ''
  end
  if has_last then
    fields[#fields + 1] = last
  end
  return join(fields)
end

-- Returns all fields, empty ones included.
local function split(text, separator)
  separator = separator or US
  local fields, count, from = {}, 0, 1
  while true do
    count = count + 1
    local at = string.find(text, separator, from, true)
    if not at then
      fields[count] = string.sub(text, from)
      return fields
    end
    fields[count] = string.sub(text, from, at - 1)
    from = at + 1
  end
end

