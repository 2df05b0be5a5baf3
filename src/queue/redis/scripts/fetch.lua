-- 8 consumer, 9 how many, 10 visibility, 11 topics, 12 groups at most.
local consumer, room, visibility = ARGV[8], tonumber(ARGV[9]), tonumber(ARGV[10])
if call('HEXISTS', GROUPS, group) == 0 then
  if not ensure_topic(tonumber(ARGV[11])) then return redis.error_reply('QUEUEFULL topics 0') end
  if groups >= tonumber(ARGV[12]) then return redis.error_reply('QUEUEFULL groups 0') end
  call('XGROUP', 'CREATE', S, group, '0', 'MKSTREAM')
  call('HSET', GROUPS, group, now)
  local added = tonumber(call('HGET', C, 'added') or 0)
  call('HSET', GC, 'read', added - call('XLEN', S))
  for _, id in ipairs(call('HKEYS', REDRIVEN)) do
    call('HSET', E, id, entry('R', 0, 0, size_of(message_of(id))))
    call('ZADD', READY, 0, id)
  end
  groups = groups + 1
end
touch_group()
touch_topic()
if consumer ~= '' then
  local seen = tonumber(call('ZSCORE', CONSUMERS, consumer) or 0)
  if now - seen >= 1000 then
    call('ZADD', CONSUMERS, now, consumer)
    call('ZREMRANGEBYSCORE', CONSUMERS, '-inf', now - 600000)
  end
end
expire(room)

local reply, at = {-1, 0}, 2
local ids, entries, delivered = {}, {}, 0
local stamp, last_size, last_entry
local function deliver(id, deliveries, fields)
  stamp = stamp or new_stamp()
  local size, headers = #fields[2], ''
  if fields[4] then size, headers = size_of(fields), fields[4] end
  if size ~= last_size or deliveries ~= 1 then
    last_entry = entry('L', deliveries, stamp, size, stamp)
    last_size = deliveries == 1 and size or nil
  end
  delivered = delivered + 1
  ids[delivered] = id
  entries[2 * delivered - 1], entries[2 * delivered] = id, last_entry
  reply[at + 1], reply[at + 2], reply[at + 3], reply[at + 4] = id, deliveries, headers, fields[2]
  at = at + 4
end

-- What was delivered before is older than what never was.
local again = call('ZPOPMIN', READY, room)
for i = 1, #again, 2 do
  local id = again[i]
  local known = call('HGET', E, id)
  local fields = known and message_of(id)
  if fields then
    local _, deliveries = read_entry(known)
    deliveries = tonumber(deliveries) + 1
    if deliveries > 1 then count('redelivered', 1) end
    deliver(id, deliveries, fields)
  else
    call('HDEL', E, id)
  end
end
room = room - delivered
if room > 0 then
  -- NOACK: the stream remembers how far the group has read, and nothing else; E and due have more.
  local read = call('XREADGROUP', 'GROUP', group, 'queue', 'COUNT', room, 'NOACK', 'STREAMS', S, '>')
  if read then
    local messages = read[1][2]
    for i = 1, #messages do deliver(messages[i][1], 1, messages[i][2]) end
    count('read', #messages)
  end
end
if stamp then
  call('HSET', E, unpack(entries))
  open_lease(stamp, ids, now + visibility)
  count('delivered', delivered)
  write_counts()
  reply[2] = stamp
else
  local next_due = call('ZRANGE', DUE, 0, 0, 'WITHSCORES')
  if next_due[2] then reply[1] = math.max(0, tonumber(next_due[2]) - now) end
end
return reply
