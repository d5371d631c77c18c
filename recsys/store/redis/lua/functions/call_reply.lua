-- redis-py sends a call again if the connection ends before the reply. The store may have executed the call, so the key
-- of the call keeps its reply for 10 s: a repetition follows within a connect and a reply of 1 s each.
local function earlier_reply(call)
  local reply = redis.call('GET', call)
  return reply and tonumber(reply)
end
local function keep_reply(call, reply)
  redis.call('SET', call, reply, 'EX', 10)
  return reply
end
