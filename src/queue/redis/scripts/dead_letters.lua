-- 8 from where, 9 how many.
if call('HEXISTS', GROUPS, group) == 0 then return {} end
expire()
local reply = {}
for _, found in ipairs(call('XRANGE', DLQ, ARGV[8], '+', 'COUNT', ARGV[9])) do
  local letter = letter_of(found)
  for _, name in ipairs({'at', 'm', 'c', 't', 'r', 'h', 'p'}) do
    reply[#reply + 1] = letter[name]
  end
end
return reply
