-- What a group has, and what becomes of a message that it is done with.
local group, G, E, DUE, LEASES, LEFT, READY, DLQ, DLQI, GC, CONSUMERS
local function use_group(name)
  group = name
  G = T .. ':g:' .. name
  E, DUE, READY, DLQ, DLQI = G .. ':e', G .. ':due', G .. ':ready', G .. ':dlq', G .. ':dlqi'
  GC, CONSUMERS, LEASES, LEFT = G .. ':c', G .. ':u', G .. ':l', G .. ':n'
end
if ARGV[4] ~= '' then use_group(ARGV[4]) end
local max_retries, max_dead, max_dead_bytes = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])

local counted = {}
local function count(field, by) counted[field] = (counted[field] or 0) + by end
local function write_counts()
  for field, by in pairs(counted) do
    if by ~= 0 then call('HINCRBY', GC, field, by) end
  end
  counted = {}
end
local function touch_group()
  local used = tonumber(call('HGET', GROUPS, group) or 0)
  if now - used >= 1000 or now < used then call('HSET', GROUPS, group, now) end
end

-- An entry: state (L leased, X its lease ran out, R ready, D delayed), deliveries, stamp, size, and
-- the lease in which it is (0: none).
local function read_entry(text)
  return string.match(text, '^(%a)(%d+):(%d+):(%d+):(%d+)$')
end
local function entry(state, deliveries, stamp, size, lease)
  return state .. deliveries .. ':' .. stamp .. ':' .. size .. ':' .. (lease or 0)
end

-- A lease holds the messages that were given out, extended or delayed together: one deadline.
local function new_stamp() return call('HINCRBY', META, 'stamp', 1) end
local function open_lease(lease, ids, deadline)
  call('ZADD', DUE, string.format('%.0f', deadline), lease)
  call('HSET', LEASES, lease, table.concat(ids, ' '))
  call('HSET', LEFT, lease, #ids)
end
local function close_lease(lease)
  call('ZREM', DUE, lease)
  call('HDEL', LEASES, lease)
  call('HDEL', LEFT, lease)
end
-- Messages that leave their leases are counted, and leave together.
local leaving = {}
local function leave_lease(lease) leaving[lease] = (leaving[lease] or 0) + 1 end
local function leave_leases()
  for lease, n in pairs(leaving) do
    if lease ~= '0' and call('HINCRBY', LEFT, lease, -n) <= 0 then close_lease(lease) end
  end
  leaving = {}
end

-- The fields of a message: p, payload and, when it has headers, h, headers.
local function message_of(id)
  local found = call('XRANGE', S, id, id)
  if found[1] then return found[1][2] end
  local blob = call('HGET', REDRIVEN, id)
  return blob and cmsgpack.unpack(blob)
end
local function size_of(fields)
  return #fields[2] + (fields[4] and tonumber(string.match(fields[4], '^%d+')) or 0)
end

-- Messages that no group needs any more are collected and freed together.
local groups = call('HLEN', GROUPS)
local free, free_bytes = {}, 0
local function free_one(id, size)
  free[#free + 1] = id
  free_bytes = free_bytes + size
end
local function settled(id, size)
  if groups > 1 then
    if call('HINCRBY', ACKED, id, 1) < groups then return end
    call('HDEL', ACKED, id)
  end
  free_one(id, size)
end
local function free_all()
  for first = 1, #free, 1000 do
    local last = math.min(first + 999, #free)
    if call('XDEL', S, unpack(free, first, last)) <= last - first then
      call('HDEL', REDRIVEN, unpack(free, first, last))
    end
  end
  if #free > 0 then
    call('HINCRBY', C, 'messages', -#free)
    if free_bytes > 0 then
      call('HINCRBY', C, 'bytes', -free_bytes)
      call('HINCRBY', META, 'bytes', -free_bytes)
    end
  end
  free, free_bytes = {}, 0
end

local function drop_letter(letter, id, bytes)
  call('XDEL', DLQ, letter)
  call('HDEL', DLQI, id)
  call('HINCRBY', META, 'dead_bytes', -bytes)
  count('dead_bytes', -bytes)
end
-- To the dead letters. The caller takes it out of its lease.
local function bury(id, deliveries, size, reason)
  local fields = message_of(id)
  if fields then
    local bytes = size + #reason
    local letter = call('XADD', DLQ, '*', 'm', id, 'c', deliveries, 't', now, 'b', bytes,
      'r', reason, 'p', fields[2], 'h', fields[4] or '')
    call('HSET', DLQI, id, letter)
    count('dead_bytes', bytes)
    local all = call('HINCRBY', META, 'dead_bytes', bytes)
    local letters = call('XLEN', DLQ)
    while letters > 0 and (letters > max_dead or all > max_dead_bytes) do
      local oldest = call('XRANGE', DLQ, '-', '+', 'COUNT', 1)[1]
      drop_letter(oldest[1], oldest[2][2], tonumber(oldest[2][8]))
      all = all - tonumber(oldest[2][8])
      letters = letters - 1
      count('dropped', 1)
    end
    count('dead', 1)
  end
  call('HDEL', E, id)
  settled(id, size)
end
local function tries(deliveries)
  return 'delivered ' .. deliveries .. (deliveries == 1 and ' time' or ' times')
end
