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
