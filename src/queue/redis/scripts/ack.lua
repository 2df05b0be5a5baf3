-- 8 on: id and stamp of each; no stamp, an id alone.
local n = (#ARGV - 7) / 2
if call('HEXISTS', GROUPS, group) == 0 then return string.rep('0', n) end
local ids, answer, done = {}, {}, {}
for i = 1, n do ids[i] = ARGV[6 + 2 * i] end
local entries = call('HMGET', E, unpack(ids))
local gone, late = {}, {}
for i = 1, n do
  answer[i] = '0'
  local id = ids[i]
  if entries[i] and not done[id] then
    local state, _, stamp, size, lease = read_entry(entries[i])
    local given = ARGV[7 + 2 * i]
    if (state == 'L' and (given == '' or given == stamp)) or (state == 'X' and given == stamp) then
      done[id] = true
      answer[i] = '1'
      gone[#gone + 1] = id
      if state == 'X' then late[#late + 1] = id else leave_lease(lease) end
      settled(id, tonumber(size))
    end
  end
end
if #gone > 0 then
  call('HDEL', E, unpack(gone))
  leave_leases()
  if #late > 0 then call('ZREM', READY, unpack(late)) end
  free_all()
  call('HINCRBY', GC, 'acked', #gone)
end
touch_group()
return table.concat(answer)
