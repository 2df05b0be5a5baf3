-- 8 visibility; 9 on: id and stamp of each.
local visibility = tonumber(ARGV[8])
local n = (#ARGV - 8) / 2
if call('HEXISTS', GROUPS, group) == 0 then return string.rep('0', n) end
touch_group()
expire()
local ids, answer, extended, changes = {}, {}, {}, {}
local done, lease = {}, new_stamp()
for i = 1, n do ids[i] = ARGV[7 + 2 * i] end
local entries = call('HMGET', E, unpack(ids))
for i = 1, n do
  answer[i] = '0'
  if entries[i] then
    local state, deliveries, stamp, size, before = read_entry(entries[i])
    local given = ARGV[8 + 2 * i]
    if state == 'L' and (given == '' or given == stamp) then
      answer[i] = '1'
      if not done[ids[i]] then
        done[ids[i]] = true
        leave_lease(before)
        extended[#extended + 1] = ids[i]
        changes[#changes + 1] = ids[i]
        changes[#changes + 1] = entry('L', deliveries, stamp, size, lease)
      end
    end
  end
end
leave_leases()
if #extended > 0 then
  call('HSET', E, unpack(changes))
  open_lease(lease, extended, now + visibility)
  wake(#extended, visibility)
end
return table.concat(answer)
