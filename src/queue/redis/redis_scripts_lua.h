// The scripts' text, in parts that are joined (redis_scripts.cc). Arguments of every script:
// KEYS[1] `{name}:meta`; ARGV 1 `{name}:`, 2 milliseconds added to Redis's time, 3 topic. Those of
// a group: 4 group, 5 redeliveries allowed, 6 dead letters kept, 7 their bytes.
#pragma once

#include <string_view>

namespace gpu_telemetry::queue::lua {

inline constexpr std::string_view kRefusedWithoutMemory = "#!lua\n";
inline constexpr std::string_view kAllowedWithoutMemory = "#!lua flags=allow-oom\n";

inline constexpr std::string_view kTopic = R"lua(
local call = redis.call
local META, P, topic = KEYS[1], ARGV[1], ARGV[3]
local T = P .. 't:' .. topic
local S, C, GROUPS, ACKED, REDRIVEN = T .. ':s', T .. ':c', T .. ':g', T .. ':a', T .. ':r'
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000) + tonumber(ARGV[2])

-- Tells every process that `count` messages of the topic are ready in `delay` milliseconds.
local function wake(count, delay)
  if count > 0 then call('PUBLISH', P .. 'wake', topic .. ' ' .. count .. ' ' .. delay) end
end
-- When the topic was last used, to the second.
local function touch_topic()
  local used = tonumber(call('HGET', C, 'used') or 0)
  if now - used >= 1000 or now < used then call('HSET', C, 'used', now) end
end
local function ensure_topic(most)
  if call('SISMEMBER', P .. 'topics', topic) == 0 then
    if call('SCARD', P .. 'topics') >= most then return false end
    call('SADD', P .. 'topics', topic)
  end
  return true
end
)lua";

// What a group has, and what becomes of a message that it is done with.
inline constexpr std::string_view kGroup = R"lua(
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
)lua";

inline constexpr std::string_view kExpire = R"lua(
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
)lua";

// A source's board of shards. Fences, positions and owners are text: Lua's numbers would round a
// large position.
inline constexpr std::string_view kBoard = R"lua(
local SOURCES = T .. ':src'
local source, MEMBERS, ENDS, SHARDS
local shards = {}
local function use_board(name)
  source = name
  local B = T .. ':b:' .. name
  MEMBERS, ENDS, SHARDS = B .. ':m', B .. ':d', B .. ':s'
end
local function read_shards()
  for i = 0, 63 do shards[i] = {fence = 0, position = '0', finished = false, owner = ''} end
  local found = call('HGETALL', SHARDS)
  for i = 1, #found, 2 do
    local fence, position, finished, owner = string.match(found[i + 1], '^(%d+) (%d+) (%d) (.*)$')
    shards[tonumber(found[i])] = {fence = tonumber(fence), position = position,
      finished = finished == '1', owner = owner}
  end
end
local function write_shard(i)
  local s = shards[i]
  call('HSET', SHARDS, i, string.format('%.0f', s.fence) .. ' ' .. s.position .. ' ' ..
    (s.finished and '1' or '0') .. ' ' .. s.owner)
end
local function release(member)
  for i = 0, 63 do
    if shards[i].owner == member then
      shards[i].owner = ''
      write_shard(i)
    end
  end
end
local function remove_member(member)
  release(member)
  call('HDEL', MEMBERS, member)
  call('ZREM', ENDS, member)
  if call('HLEN', MEMBERS) == 0 then call('HSET', SOURCES, source, now) end
end
local function expire_members()
  for _, member in ipairs(call('ZRANGEBYSCORE', ENDS, '-inf', now)) do remove_member(member) end
end
local function all_finished()
  for i = 0, 63 do
    if not shards[i].finished then return false end
  end
  return true
end
local function held_by(member)
  local n = 0
  for i = 0, 63 do
    if shards[i].owner == member then n = n + 1 end
  end
  return n
end
local function forget_board()
  call('UNLINK', MEMBERS, ENDS, SHARDS)
  call('HDEL', SOURCES, source)
end
-- Reads the board and takes from it whose time is over; false when there is none, or nobody was on
-- it for `lifetime`.
local function open_board(name, lifetime)
  use_board(name)
  local empty_since = call('HGET', SOURCES, name)
  if not empty_since then return false end
  read_shards()
  expire_members()
  empty_since = tonumber(call('HGET', SOURCES, name))
  if empty_since > 0 and now - empty_since >= lifetime then
    forget_board()
    return false
  end
  return true
end
)lua";

// 4 source, 5 member, 6 ttl, 7 whether it leaves, 8 topics, 9 boards, 10 members at most, 11 how
// long a board without members is kept; 12 on: shards that are given back.
inline constexpr std::string_view kShareSource = R"lua(
local member, ttl, leaves = ARGV[5], tonumber(ARGV[6]), ARGV[7] == '1'
local there = open_board(ARGV[4], tonumber(ARGV[11]))
if not there and leaves then return {0, 0, 0} end
if not there then
  if not ensure_topic(tonumber(ARGV[8])) then return redis.error_reply('QUEUEFULL topics 0') end
  if call('HLEN', SOURCES) >= tonumber(ARGV[9]) then
    return redis.error_reply('QUEUEFULL sources 0')
  end
  read_shards()
end
local known = call('HEXISTS', MEMBERS, member) == 1
touch_topic()
if leaves then
  if known then remove_member(member) end
else
  if not known and call('HLEN', MEMBERS) >= tonumber(ARGV[10]) then
    return redis.error_reply('QUEUEFULL members 0')
  end
  call('HSET', MEMBERS, member, ttl)
  call('ZADD', ENDS, string.format('%.0f', now + ttl), member)
  call('HSET', SOURCES, source, 0)
  for i = 12, #ARGV do
    local s = shards[tonumber(ARGV[i])]
    if s.owner == member then
      s.owner = ''
      write_shard(tonumber(ARGV[i]))
    end
  end
end

local names = call('HKEYS', MEMBERS)
table.sort(names)
local share, has, wanted = {}, {}, 0
for place, name in ipairs(names) do
  share[name] = math.floor(64 / #names) + (place <= 64 % #names and 1 or 0)
  has[name] = held_by(name)
end
local function grant(finished)
  for i = 0, 63 do
    if has[member] >= share[member] then return end
    local s = shards[i]
    if s.owner == '' and s.finished == finished then
      s.owner = member
      s.fence = s.fence + 1
      has[member] = has[member] + 1
      write_shard(i)
    end
  end
end
if not leaves then
  grant(false)
  grant(true)
end
for _, name in ipairs(names) do wanted = wanted + math.max(0, share[name] - has[name]) end
local done = all_finished()
local reply = {#names, done and 1 or 0, 0}
if not leaves then
  if has[member] > share[member] then reply[3] = math.min(wanted, has[member] - share[member]) end
  for i = 0, 63 do
    local s = shards[i]
    if s.owner == member then
      reply[#reply + 1] = i
      reply[#reply + 1] = s.fence
      reply[#reply + 1] = s.position
      reply[#reply + 1] = s.finished and 1 or 0
    end
  end
elseif done and #names == 0 then
  forget_board()
end
return reply
)lua";

// 4 messages a topic, 5 bytes in all, 6 topics, 7 window of the ids, 8 how many, 9 the size of all,
// 10 arguments of each: 1 payload; 2 payload, headers; 4 payload, headers, id, size. They follow.
// Then, when shards move: source, member, and of each step shard, fence, from, to, finished.
inline constexpr std::string_view kPublish = R"lua(
local n, stride = tonumber(ARGV[8]), tonumber(ARGV[10])
local fresh, bytes, duplicates, first_of = n, tonumber(ARGV[9]), {}, {}
local progress = 11 + n * stride
local moves = ARGV[progress] ~= nil
if moves then
  local member = ARGV[progress + 1]
  if not open_board(ARGV[progress], math.huge) then
    return redis.error_reply('SHARDS ' .. ARGV[progress + 2] .. ' lost')
  end
  local is_next, repeats, moved = true, true, nil
  for at = progress + 2, #ARGV, 5 do
    local s = shards[tonumber(ARGV[at])]
    if s.owner ~= member or s.fence ~= tonumber(ARGV[at + 1]) then
      return redis.error_reply('SHARDS ' .. ARGV[at] .. ' lost')
    end
    if s.position ~= ARGV[at + 2] then
      is_next = false
      moved = ARGV[at] .. ' ' .. s.position
    end
    repeats = repeats and s.position == ARGV[at + 3]
  end
  if not is_next then
    if not repeats then return redis.error_reply('SHARDS ' .. moved) end
    if n > 0 then call('HINCRBY', C, 'deduplicated', n) end
    local reply = {'', 0}
    for i = 1, n do
      reply[2 * i + 1] = i - 1
      reply[2 * i + 2] = ''
    end
    return reply
  end
end
for i = 1, stride == 4 and n or 0 do
  local id = ARGV[9 + 4 * i]
  local duplicate
  if id ~= '' then
    local known = first_of[id]
    if known then
      duplicate = known
    else
      local seen = call('GET', T .. ':d:' .. id)
      if seen then
        local first, ends = string.match(seen, '^(%S+) (%d+)$')
        if tonumber(ends) > now then duplicate = first end
      end
      if not duplicate then first_of[id] = i end
    end
  end
  if duplicate then
    duplicates[i] = duplicate
    fresh = fresh - 1
    bytes = bytes - tonumber(ARGV[10 + 4 * i])
  end
end

local counts = call('HMGET', C, 'messages', 'bytes', 'added', 'deduplicated')
local meta = call('HMGET', META, 'bytes', 'ms', 'seq')
local held = tonumber(counts[1] or 0)
local all_bytes = tonumber(meta[1] or 0)
local refused
if fresh > 0 and held + fresh > tonumber(ARGV[4]) then
  refused = 'QUEUEFULL messages ' .. held
elseif fresh > 0 and all_bytes + bytes > tonumber(ARGV[5]) then
  refused = 'QUEUEFULL bytes ' .. string.format('%.0f', all_bytes)
elseif not ensure_topic(tonumber(ARGV[6])) then
  return redis.error_reply('QUEUEFULL topics 0')
end
if refused then
  if call('EXISTS', C) == 1 then call('HINCRBY', C, 'rejected', fresh) end
  return redis.error_reply(refused)
end

-- Ids never go back, whatever the clock does, and are all of one length.
local ms, seq = tonumber(meta[2] or 0), tonumber(meta[3] or 0)
if now > ms then ms, seq = now, 999999 end
if seq + fresh > 9999999 then ms, seq = ms + 1, 999999 end
local prefix = string.format('%.0f-', ms)
local first_seq = seq + 1
local window = tonumber(ARGV[7])
local until_text = ' ' .. string.format('%.0f', now + window)
local at = 11
for i = 1, n do
  if not duplicates[i] then
    seq = seq + 1
    local id = prefix .. seq
    local headers = stride > 1 and ARGV[at + 1] or ''
    if headers == '' then
      call('XADD', S, id, 'p', ARGV[at])
    else
      call('XADD', S, id, 'p', ARGV[at], 'h', headers)
    end
    local key = stride == 4 and ARGV[at + 2] or ''
    if key ~= '' then
      first_of[key] = id
      call('SET', T .. ':d:' .. key, id .. until_text, 'PX', math.max(window, 1))
    end
  end
  at = at + stride
end
if fresh > 0 then
  call('HSET', META, 'bytes', all_bytes + bytes, 'ms', ms, 'seq', seq)
  call('HSET', C, 'messages', held + fresh, 'bytes', tonumber(counts[2] or 0) + bytes,
    'added', tonumber(counts[3] or 0) + fresh, 'used', now)
end
if moves then
  for at = progress + 2, #ARGV, 5 do
    local s = shards[tonumber(ARGV[at])]
    s.position, s.finished = ARGV[at + 3], ARGV[at + 4] == '1'
    write_shard(tonumber(ARGV[at]))
  end
  local member = ARGV[progress + 1]
  call('ZADD', ENDS, string.format('%.0f', now + tonumber(call('HGET', MEMBERS, member))), member)
end
local reply = {prefix, first_seq}
if fresh < n then
  call('HSET', C, 'deduplicated', tonumber(counts[4] or 0) + n - fresh)
  for i = 1, n do
    local first = duplicates[i]
    if first then
      -- A number: a message of this batch.
      if type(first) == 'number' then first = first_of[ARGV[9 + 4 * i]] end
      reply[#reply + 1] = i - 1
      reply[#reply + 1] = first
    end
  end
end
wake(fresh, 0)
return reply
)lua";

// 8 consumer, 9 how many, 10 visibility, 11 topics, 12 groups at most.
inline constexpr std::string_view kFetch = R"lua(
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
)lua";

// 8 on: id and stamp of each; no stamp, an id alone.
inline constexpr std::string_view kAck = R"lua(
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
)lua";

// 8 retry|release|dead, 9 delay, 10 reason; 11 on: id and stamp of each.
inline constexpr std::string_view kNack = R"lua(
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
)lua";

// 8 visibility; 9 on: id and stamp of each.
inline constexpr std::string_view kExtend = R"lua(
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
)lua";

inline constexpr std::string_view kLetters = R"lua(
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
)lua";

// 8 from where, 9 how many.
inline constexpr std::string_view kDeadLetters = R"lua(
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
)lua";

// 8 on: message ids; none, all.
inline constexpr std::string_view kRedrive = R"lua(
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
)lua";

inline constexpr std::string_view kPurge = R"lua(
if call('HEXISTS', GROUPS, group) == 0 then return 0 end
touch_group()
expire()
local letters = chosen_letters()
for _, letter in ipairs(letters) do drop_letter(letter.at, letter.m, letter.b) end
write_counts()
return #letters
)lua";

inline constexpr std::string_view kRemoveGroup = R"lua(
-- What only this group had not settled is freed when others are left, and stays when none is.
local function remove_group()
  if groups > 1 then
    local cursor = '0-0'
    for _, info in ipairs(call('XINFO', 'GROUPS', S)) do
      local fields = {}
      for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
      if fields.name == group then cursor = fields['last-delivered-id'] end
    end
    local function leave(id, had_settled, size)
      if had_settled then
        if call('HINCRBY', ACKED, id, -1) <= 0 then call('HDEL', ACKED, id) end
      elseif tonumber(call('HGET', ACKED, id) or 0) >= groups - 1 then
        call('HDEL', ACKED, id)
        free_one(id, size)
      end
    end
    local from = '-'
    repeat
      local page = call('XRANGE', S, from, '+', 'COUNT', 1000)
      for _, found in ipairs(page) do
        local id = found[1]
        leave(id, id <= cursor and call('HEXISTS', E, id) == 0, size_of(found[2]))
        from = '(' .. id
      end
    until #page < 1000
    for _, id in ipairs(call('HKEYS', REDRIVEN)) do
      leave(id, call('HEXISTS', E, id) == 0, size_of(message_of(id)))
    end
    free_all()
  end
  local dead = tonumber(call('HGET', GC, 'dead_bytes') or 0)
  if dead > 0 then call('HINCRBY', META, 'dead_bytes', -dead) end
  call('XGROUP', 'DESTROY', S, group)
  call('HDEL', GROUPS, group)
  call('UNLINK', E, DUE, LEASES, LEFT, READY, DLQ, DLQI, GC, CONSUMERS)
  groups = groups - 1
end
)lua";

inline constexpr std::string_view kDeleteGroup = R"lua(
if call('HEXISTS', GROUPS, group) == 0 then return 0 end
touch_topic()
remove_group()
-- Who waits creates it again.
wake(1000000, 0)
return 1
)lua";

// 8 how long a group may idle, 9 on: the groups that always may.
inline constexpr std::string_view kStatistics = R"lua(
local lifetime = tonumber(ARGV[8])
local permanent = {}
for i = 9, #ARGV do permanent[ARGV[i]] = true end

local function group_statistics()
  local c = {}
  local all = call('HGETALL', GC)
  for i = 1, #all, 2 do c[all[i]] = tonumber(all[i + 1]) end
  local function of(name) return c[name] or 0 end
  local added = tonumber(call('HGET', C, 'added') or 0)
  local ready = call('ZCARD', READY) + added - of('read')
  local due = call('HLEN', E) - call('ZCARD', READY)
  local oldest = ''
  if ready + due > 0 then
    for _, id in ipairs(call('HKEYS', E)) do
      if oldest == '' or id < oldest then oldest = id end
    end
    if added > of('read') and (oldest == '' or groups == 1) then
      local first = call('XRANGE', S, '-', '+', 'COUNT', 1)[1]
      if first and (oldest == '' or first[1] < oldest) then oldest = first[1] end
    end
  end
  local age = 0
  if oldest ~= '' then age = math.max(0, now - tonumber(string.match(oldest, '^%d+'))) end
  return {group, ready, due - of('delayed'), of('delayed'), call('XLEN', DLQ), of('delivered'),
    of('redelivered'), of('acked'), of('nacked'), of('expired'), of('dead'), of('dropped'), age,
    call('ZCOUNT', CONSUMERS, '(' .. (now - 60000), '+inf')}
end

local removed, found = {}, {}
local names = call('HGETALL', GROUPS)
for i = 1, #names, 2 do
  use_group(names[i])
  expire()
  local idle = now - tonumber(names[i + 1]) >= lifetime and not permanent[group]
  local leased = call('HLEN', E) - call('ZCARD', READY)
    - tonumber(call('HGET', GC, 'delayed') or 0)
  if idle and leased == 0 then
    remove_group()
    removed[#removed + 1] = group
  else
    found[#found + 1] = group
  end
end
local answer = {}
for i, name in ipairs(found) do
  use_group(name)
  answer[i] = group_statistics()
end
local counts = call('HMGET', C, 'messages', 'bytes', 'added', 'rejected', 'deduplicated', 'used')
for i = 1, 6 do counts[i] = tonumber(counts[i] or 0) end
local sources = {}
for _, name in ipairs(call('HKEYS', SOURCES)) do
  if open_board(name, lifetime) then
    sources[#sources + 1] = {name, call('HLEN', MEMBERS), 64 - held_by(''), all_finished() and 1 or 0}
  end
end
if #found == 0 and #sources == 0 and counts[1] == 0 and now - counts[6] >= lifetime then
  call('SREM', P .. 'topics', topic)
  call('UNLINK', S, C, GROUPS, ACKED, REDRIVEN)
  return {}
end
return {counts[1], counts[2], counts[3], counts[4], counts[5], removed, answer, sources}
)lua";

}  // namespace gpu_telemetry::queue::lua
