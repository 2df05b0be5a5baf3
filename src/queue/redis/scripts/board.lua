-- A source's board of shards. Fences, positions and owners are text: Lua's numbers would round a
-- large position.
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
