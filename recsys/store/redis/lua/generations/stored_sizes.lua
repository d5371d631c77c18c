-- The bytes of each chunk and the records of each hash of users. The expiry of an unfinished generation starts anew.
-- KEYS: publishing, manifest, chunks, hashes of users. ARGV: token, seconds to the expiry, number of chunks
-- include functions/check_token
-- include functions/count_records
local finished = redis.call('EXISTS', KEYS[2]) == 1
local sizes = {}
for at = 3, #KEYS do
  sizes[at - 2] = at - 2 <= tonumber(ARGV[3]) and redis.call('STRLEN', KEYS[at]) or count_records(KEYS[at])
  if not finished then redis.call('EXPIRE', KEYS[at], ARGV[2]) end
end
return {'done', sizes}
