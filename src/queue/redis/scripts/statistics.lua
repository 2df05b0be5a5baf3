-- 8 how long a group may idle, 9 on: the groups that always may.
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
