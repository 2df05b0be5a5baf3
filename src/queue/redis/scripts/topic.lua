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
