-- 8 on: message ids; none, all.
if call('HEXISTS', GROUPS, group) == 0 then return 0 end
touch_group()
expire()
local letters = chosen_letters()
for _, letter in ipairs(letters) do
  local id = letter.m
  local size = letter.b - #letter.r
  drop_letter(letter.at, id, letter.b)
  if call('XRANGE', S, id, id)[1] or call('HEXISTS', REDRIVEN, id) == 1 then
    -- Another group is not done with it; this one no longer is.
    if call('HINCRBY', ACKED, id, -1) <= 0 then call('HDEL', ACKED, id) end
  else
    local fields = {'p', letter.p}
    if letter.h ~= '' then fields[3], fields[4] = 'h', letter.h end
    call('HSET', REDRIVEN, id, cmsgpack.pack(fields))
    if groups > 1 then call('HSET', ACKED, id, groups - 1) end
    call('HINCRBY', C, 'messages', 1)
    call('HINCRBY', C, 'bytes', size)
    call('HINCRBY', META, 'bytes', size)
  end
  call('HSET', E, id, entry('R', 0, 0, size))
  call('ZADD', READY, 0, id)
end
write_counts()
wake(#letters, 0)
return #letters
