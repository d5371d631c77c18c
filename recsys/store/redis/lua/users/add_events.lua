-- Add the events of one user to the history, to the log and to the counts of items. Returns the number of new events.
-- A repeated call, whose first reply was lost, adds nothing and returns the first reply.
-- KEYS: events, event ids, log, counts of the log, the key of this call
-- ARGV: events kept, their expiry, ids kept, their expiry, 1 to log and count the events, now in milliseconds, the oldest
-- timestamp kept, the name of the dataset, the expiry of counts of minutes and of hours, then of each event: its id or
-- nothing, 1 if it is part of the history, the event as JSON, the item, the key of the minute's counts and of the hour's,
-- or nothing
-- include functions/user_history
-- include functions/log_event
-- include functions/count_event
-- include functions/call_reply
local earlier = earlier_reply(KEYS[5])
if earlier then return earlier end
local new = 0
local ids = false
local newest, late
for at = 11, #ARGV, 6 do
  local id = ARGV[at]
  if id == '' or not redis.call('ZSCORE', KEYS[2], id) then
    new = new + 1
    if ARGV[at + 1] == '1' then
      newest = newest or timestamp_of(redis.call('LINDEX', KEYS[1], -1)) or -math.huge
      redis.call('RPUSH', KEYS[1], ARGV[at + 2])
      local timestamp = timestamp_of(ARGV[at + 2]) or newest
      late = late or timestamp < newest
      newest = timestamp
    end
    if ARGV[5] == '1' then
      log_event(KEYS[3], KEYS[4], ARGV[at + 2], id, ARGV[8])
      count_event(ARGV[at + 4], ARGV[at + 3], ARGV[9])
      count_event(ARGV[at + 5], ARGV[at + 3], ARGV[10])
    end
    if id ~= '' then  -- last: an id that is stored without its event would refuse the event for good
      redis.call('ZADD', KEYS[2], ARGV[6] + (at - 11) / 6, id)
      ids = true
    end
  end
end
if ids then
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -ARGV[3] - 1)
  redis.call('EXPIRE', KEYS[2], ARGV[4])
end
if late then sort_events(KEYS[1]) end
trim_events(KEYS[1], ARGV[1], ARGV[2], ARGV[7])
return keep_reply(KEYS[5], new)
