-- Handles one lease or delay that is over; false when there is none.
local function expire_one()
  local lease = call('ZRANGEBYSCORE', DUE, '-inf', now, 'LIMIT', 0, 1)[1]
  if not lease then return false end
  local ids = {}
  for id in string.gmatch(call('HGET', LEASES, lease) or '', '%S+') do ids[#ids + 1] = id end
  close_lease(lease)
  if #ids == 0 then return true end
  local entries = call('HMGET', E, unpack(ids))
  local changes, ready = {}, {}
  for i, id in ipairs(ids) do
    local state, deliveries, stamp, size, held_by = nil
    if entries[i] then state, deliveries, stamp, size, held_by = read_entry(entries[i]) end
    -- Those that left the lease since are another's, or nobody's.
    if state and held_by == lease then
      deliveries, size = tonumber(deliveries), tonumber(size)
      if state == 'L' then count('expired', 1) else count('delayed', -1) end
      if state == 'L' and deliveries > max_retries then
        bury(id, deliveries, size, tries(deliveries) .. ', the last lease ran out')
      else
        changes[#changes + 1] = id
        changes[#changes + 1] = entry(state == 'L' and 'X' or 'R', deliveries, stamp, size)
        ready[#ready + 1] = '0'
        ready[#ready + 1] = id
      end
    end
  end
  if #ready > 0 then
    call('HSET', E, unpack(changes))
    call('ZADD', READY, unpack(ready))
  end
  return true
end
-- All that is over; for a fetch as much as it can use.
local function expire(enough)
  while expire_one() do
    if enough and call('ZCARD', READY) >= enough then break end
  end
  free_all()
  write_counts()
end
