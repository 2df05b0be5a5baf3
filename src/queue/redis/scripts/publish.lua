-- 4 messages a topic, 5 bytes in all, 6 topics, 7 window of the ids, 8 how many, 9 the size of all,
-- 10 arguments of each: 1 payload; 2 payload, headers; 4 payload, headers, id, size. They follow.
-- Then, when shards move: source, member, and of each step shard, fence, from, to, finished.
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
