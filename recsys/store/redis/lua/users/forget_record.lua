#!lua flags=allow-oom
-- Delete a user's record from a generation. Works in a full store too. Returns the number of deleted records.
-- The field '' counts deleted users. It also keeps the hash from becoming empty: a missing hash means lost records.
-- A publisher that has claimed the generation may write the record later: a tombstone, the SHA-1 of the user's id, makes
-- WRITE_RECORDS leave the user out. Its value is 1 if the field '' counts the user.
-- KEYS: hash of records, unfinished generations, tombstones of the generation
-- ARGV: the user, the generation and its buckets as a member of the unfinished ones, seconds to the expiry of tombstones
local deleted = 0
if redis.call('TYPE', KEYS[1]).ok == 'hash' and redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  redis.call('HINCRBY', KEYS[1], '', 1)
  deleted = redis.call('HDEL', KEYS[1], ARGV[1])
end
if redis.call('ZSCORE', KEYS[2], ARGV[2]) then
  local user = redis.sha1hex(ARGV[1])
  redis.call('HSETNX', KEYS[3], user, '0')
  if deleted == 1 then redis.call('HSET', KEYS[3], user, '1') end
  redis.call('EXPIRE', KEYS[3], ARGV[3])
end
return deleted
