#!lua flags=allow-oom
-- Move the cursor behind a file that is complete, once. Works in a full store too.
-- KEYS: the cursor. ARGV: the entry before the file, its last entry, the number of that event, the entries that limits
-- had removed from the log
if (redis.call('HGET', KEYS[1], 'entry') or '') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'entry', ARGV[2], 'number', ARGV[3], 'trimmed', ARGV[4])
redis.call('HDEL', KEYS[1], 'until')
return 1
