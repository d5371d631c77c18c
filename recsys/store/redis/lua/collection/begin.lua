#!lua flags=allow-oom
-- Fix the last entry of the next file, once: a second collector, or one after a kill, then writes the same file.
-- KEYS: the cursor. ARGV: the entry before the file, the last entry that the caller proposes
-- Returns the last entry that is fixed, or nothing if the cursor has moved.
if (redis.call('HGET', KEYS[1], 'entry') or '') ~= ARGV[1] then return false end
redis.call('HSETNX', KEYS[1], 'until', ARGV[2])
return redis.call('HGET', KEYS[1], 'until')
