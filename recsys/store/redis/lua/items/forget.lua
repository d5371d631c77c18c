-- Delete items. Returns how many were deleted.
-- KEYS: version, changed, hidden, then the key of each item
-- ARGV: the id of each item and the version that it must have, or nothing for any version
local version, changed, hidden, gone = KEYS[1], KEYS[2], KEYS[3], 0
for i = 4, #KEYS do
  if ARGV[2 * i - 6] == '' or redis.call('HGET', KEYS[i], 'version') == ARGV[2 * i - 6] then
    gone = gone + redis.call('UNLINK', KEYS[i])
    redis.call('ZREM', changed, ARGV[2 * i - 7])
    redis.call('SREM', hidden, ARGV[2 * i - 7])
  end
end
if gone > 0 then redis.call('INCR', version) end
return gone
