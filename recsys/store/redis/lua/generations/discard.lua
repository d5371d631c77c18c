-- Delete an unfinished generation.
-- KEYS: publishing, manifest, unfinished generations, tombstones, chunks, hashes of users
-- ARGV: token, the generation and its buckets as a member of the unfinished ones
-- include functions/check_token
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('UNLINK', KEYS[4])
if redis.call('EXISTS', KEYS[2]) == 1 then return {'finished'} end
for at = 5, #KEYS do redis.call('UNLINK', KEYS[at]) end
return {'done'}
