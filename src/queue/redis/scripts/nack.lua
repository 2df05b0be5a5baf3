-- 8 retry|release|dead, 9 delay, 10 reason; 11 on: id and stamp of each.
local how, delay, reason = ARGV[8], tonumber(ARGV[9]), ARGV[10]
local n = (#ARGV - 10) / 2
if call('HEXISTS', GROUPS, group) == 0 then return string.rep('0', n) end
touch_group()
expire()
local answer, ready, delayed = {}, 0, {}
local delay_lease = delay > 0 and new_stamp()
local function make_ready(id, deliveries, size)
  call('HSET', E, id, entry('R', deliveries, 0, size))
  call('ZADD', READY, 0, id)
  ready = ready + 1
end
local function nack(id, deliveries, size)
  if how == 'release' then return make_ready(id, deliveries - 1, size) end
  count('nacked', 1)
  if how == 'dead' then return bury(id, deliveries, size, reason) end
  if deliveries > max_retries then
    return bury(id, deliveries, size, tries(deliveries) .. ', the last was refused')
  end
  if delay == 0 then return make_ready(id, deliveries, size) end
  call('HSET', E, id, entry('D', deliveries, 0, size, delay_lease))
  delayed[#delayed + 1] = id
  count('delayed', 1)
end
for i = 1, n do
  answer[i] = '0'
  local id, given = ARGV[9 + 2 * i], ARGV[10 + 2 * i]
  local known = call('HGET', E, id)
  if known then
    local state, deliveries, stamp, size, lease = read_entry(known)
    if state == 'L' and (given == '' or given == stamp) then
      answer[i] = '1'
      leave_lease(lease)
      nack(id, tonumber(deliveries), tonumber(size))
    end
  end
end
free_all()
write_counts()
leave_leases()
if #delayed > 0 then open_lease(delay_lease, delayed, now + delay) end
wake(ready, 0)
wake(#delayed, delay)
return table.concat(answer)
