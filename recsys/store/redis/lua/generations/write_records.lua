-- Write users' records, without those of users who were deleted since the claim. They count as written in the field ''.
-- KEYS: publishing, manifest, hash of users, tombstones
-- ARGV: token, seconds to the expiry while there is no manifest, then the id and the record of each user
-- include functions/check_token
local tombstones = redis.call('EXISTS', KEYS[4]) == 1
local kept = {}
for at = 3, #ARGV, 2 do
  local user = tombstones and redis.sha1hex(ARGV[at])
  local tombstone = user and redis.call('HGET', KEYS[4], user)
  if not tombstone then
    kept[#kept + 1] = ARGV[at]
    kept[#kept + 1] = ARGV[at + 1]
  elseif tombstone == '0' then
    redis.call('HSET', KEYS[4], user, '1')
    redis.call('HINCRBY', KEYS[3], '', 1)
  end
end
for at = 1, #kept, 2000 do  -- `unpack` has a limit of some thousand values
  redis.call('HSET', KEYS[3], unpack(kept, at, math.min(at + 1999, #kept)))
end
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('EXPIRE', KEYS[3], ARGV[2]) end
return {'done'}
