-- The fields of a dead letter, by name.
local function letter_of(found)
  local letter, fields = {at = found[1]}, found[2]
  for i = 1, #fields, 2 do letter[fields[i]] = fields[i + 1] end
  letter.b = tonumber(letter.b)
  return letter
end
-- Those named from ARGV[8] on, or the first 1,000.
local function chosen_letters()
  local letters = {}
  if #ARGV == 7 then
    for i, found in ipairs(call('XRANGE', DLQ, '-', '+', 'COUNT', 1000)) do
      letters[i] = letter_of(found)
    end
    return letters
  end
  local named = {}
  for i = 8, #ARGV do
    local at = not named[ARGV[i]] and call('HGET', DLQI, ARGV[i])
    named[ARGV[i]] = true
    local found = at and call('XRANGE', DLQ, at, at)[1]
    if found then letters[#letters + 1] = letter_of(found) end
  end
  return letters
end
