#!lua
-- Copy a stream, some entries at a time; the last step puts the copy in the place of the stream.
-- The first line makes a full store refuse the script: without the line, PEXPIRE would allow the writes that follow it.
-- KEYS: lock, stream, copy. ARGV: token, milliseconds of the lock, first entry, entries of a step
-- include functions/check_token
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if ARGV[3] == '-' then redis.call('UNLINK', KEYS[3]) end
local entries = redis.call('XRANGE', KEYS[2], ARGV[3], '+', 'COUNT', ARGV[4])
for _, entry in ipairs(entries) do redis.call('XADD', KEYS[3], entry[1], unpack(entry[2])) end
if #entries == tonumber(ARGV[4]) then
  redis.call('PEXPIRE', KEYS[3], ARGV[2])
  return {'more', entries[#entries][1]}
end
if redis.call('EXISTS', KEYS[3]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[2])
  for at = 1, #info, 2 do  -- new entries must follow the last entry that a reader may have read
    if info[at] == 'last-generated-id' then redis.call('XSETID', KEYS[3], info[at + 1]) end
  end
  redis.call('PERSIST', KEYS[3])
  redis.call('RENAME', KEYS[3], KEYS[2])
end
return {'done'}
