#!lua flags=allow-oom
-- Delete a user from a hash of records or lists. Works in a full store too.
-- The field '' counts deleted users. It also keeps the hash from becoming empty: a missing hash means lost records.
-- KEYS: the hash. ARGV: the user
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' or redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[1], '', 1)
return redis.call('HDEL', KEYS[1], ARGV[1])
