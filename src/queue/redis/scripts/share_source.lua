-- 4 source, 5 member, 6 ttl, 7 whether it leaves, 8 topics, 9 boards, 10 members at most, 11 how
-- long a board without members is kept; 12 on: shards that are given back.
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
