-- KEYS: publishing, manifest, hash of users
-- ARGV: token, seconds to the expiry while there is no manifest, then the id and the record of each user
-- include functions/check_token
local new = 0
for at = 3, #ARGV, 2000 do  -- `unpack` has a limit of some thousand values
  new = new + redis.call('HSET', KEYS[3], unpack(ARGV, at, math.min(at + 1999, #ARGV)))
end
-- A deleted user whose record is written again is one of the new ones.
local forgotten = tonumber(redis.call('HGET', KEYS[3], '') or 0)
if forgotten > new then
  redis.call('HSET', KEYS[3], '', string.format('%d', forgotten - new))
elseif forgotten > 0 then
  redis.call('HDEL', KEYS[3], '')
end
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('EXPIRE', KEYS[3], ARGV[2]) end
return {'done'}
