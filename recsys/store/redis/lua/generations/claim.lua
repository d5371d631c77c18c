-- Become the publisher, if nobody is or the publisher with the token ARGV[3] is known to have ended.
-- KEYS: publishing, fence, generations, promoted
-- ARGV: the owner as JSON, milliseconds of the lease, the token of an ended publisher
-- include functions/next_fence
local held = redis.call('GET', KEYS[1])
local now = redis.call('TIME')[1]
if held and held ~= ARGV[3] then return {'held', held, now} end
local token = string.format('%d %d %s', next_fence(KEYS[2], KEYS[3], KEYS[4]), now, ARGV[1])
redis.call('SET', KEYS[1], token, 'PX', ARGV[2])
return {'claimed', token, now}
