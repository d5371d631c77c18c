-- Write the lists of users who have a record or events. Other users were deleted while their lists were made.
-- KEYS: hash of lists, hash of records, then the events of each user
-- ARGV: seconds to the expiry, then the id and the list of each user
for at = 2, #ARGV, 2 do
  local known = redis.call('HEXISTS', KEYS[2], ARGV[at]) == 1 or redis.call('EXISTS', KEYS[2 + at / 2]) == 1
  if known then redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
