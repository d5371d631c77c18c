#!lua flags=allow-oom
-- Returns 1 if the token holds the lock: also for a repeated call, whose first reply was lost.
-- KEYS: lock. ARGV: token, milliseconds
local taken = redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
return (taken or redis.call('GET', KEYS[1]) == ARGV[1]) and 1 or 0
