-- Move the events of one user to another user. Equal events become one. Returns the number of events of the other user.
-- KEYS: events and event ids of the user to remove, the same of the other user, log, counts of the log
-- ARGV: the first eight of add_events, then the prefix of the JSON of the other user's events, the number of prefixes of
-- both users' events, these prefixes, then the JSON of each event to add, without its prefix
-- include functions/user_history
-- include functions/log_event
local prefix, last = ARGV[9], 10 + ARGV[10]
local function without_user(text)  -- nil for an event of neither user
  for at = 11, last do
    if text:sub(1, #ARGV[at]) == ARGV[at] then return text:sub(#ARGV[at] + 1) end
  end
end
local present, moved = {}, {}
local function move(event)
  if event and not present[event] then
    present[event] = true
    moved[#moved + 1] = prefix .. event
  end
end
local theirs = redis.call('LRANGE', KEYS[1], 0, -1)
local ids = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '+inf', 'WITHSCORES')
for _, text in ipairs(redis.call('LRANGE', KEYS[3], 0, -1)) do present[without_user(text) or ''] = true end
for at = last + 1, #ARGV do move(ARGV[at]) end
local added = #moved
for _, text in ipairs(theirs) do move(without_user(text)) end
for at = 1, #ids, 2 do redis.call('ZADD', KEYS[4], ids[at + 1], ids[at]) end
if #ids > 0 then
  redis.call('ZREMRANGEBYRANK', KEYS[4], 0, -ARGV[3] - 1)
  redis.call('EXPIRE', KEYS[4], ARGV[4])
end
for at, text in ipairs(moved) do
  redis.call('RPUSH', KEYS[3], text)
  if at > added and ARGV[5] == '1' then
    log_event(KEYS[5], KEYS[6], text, '', ARGV[8])
  end
end
if #moved > 0 then sort_events(KEYS[3]) end
trim_events(KEYS[3], ARGV[1], ARGV[2], ARGV[7])
redis.call('UNLINK', KEYS[1], KEYS[2])
return #redis.call('LRANGE', KEYS[3], 0, -1)
