#!lua flags=allow-oom
-- Mark the entries of users as deleted, some at a time. Works in a full store too.
-- KEYS: lock, stream, then the keys to delete with the last step
-- ARGV: token, milliseconds of the lock, first entry, entries of a step, then 1 if an entry is a user's whose first value
-- equals one of the rest, or nothing if the first value begins with one of the rest; the rest
-- include functions/check_token
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local entries = redis.call('XRANGE', KEYS[2], ARGV[3], '+', 'COUNT', ARGV[4])
local wanted, lengths, marked = {}, {}, {}
for at = 6, #ARGV do  -- many users have prefixes of few lengths
  wanted[ARGV[at]] = true
  if ARGV[5] == '' then lengths[#ARGV[at]] = true end
end
for _, entry in ipairs(entries) do
  local value = entry[2][2]
  local found = wanted[value]
  for length in pairs(lengths) do found = found or wanted[value:sub(1, length)] end
  if found then marked[#marked + 1] = entry[1] end
end
if #marked > 0 then redis.call('XDEL', KEYS[2], unpack(marked)) end
if #entries == tonumber(ARGV[4]) then return {'more', entries[#entries][1]} end
for at = 3, #KEYS do redis.call('UNLINK', KEYS[at]) end
return {'done'}
