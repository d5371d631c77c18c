-- Become the publisher, if nobody is or the publisher with the token ARGV[3] is known to have ended.
-- The number of buckets is stored before any of them: a deletion of a user finds the user's bucket by it.
-- KEYS: publishing, fence, generations, promoted, unfinished generations, tombstones of the generation
-- ARGV: the owner as JSON, milliseconds of the lease, the token of an ended publisher, the generation and its buckets as
-- a member of the unfinished ones, seconds for which parts without a manifest are kept
-- include functions/next_fence
local held = redis.call('GET', KEYS[1])
local now = redis.call('TIME')[1]
if held and held ~= ARGV[3] then return {'held', held, now} end
redis.call('ZADD', KEYS[5], now, ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', now - 2 * ARGV[5])  -- their parts have expired
redis.call('EXPIRE', KEYS[5], 2 * ARGV[5])
redis.call('EXPIRE', KEYS[6], ARGV[5])
local token = string.format('%d %d %s', next_fence(KEYS[2], KEYS[3], KEYS[4]), now, ARGV[1])
redis.call('SET', KEYS[1], token, 'PX', ARGV[2])
return {'claimed', token, now}
