-- Delete an unfinished generation. KEYS: publishing, manifest, chunks, hashes of users. ARGV: token
-- include functions/check_token
if redis.call('EXISTS', KEYS[2]) == 1 then return {'finished'} end
for at = 3, #KEYS do redis.call('UNLINK', KEYS[at]) end
return {'done'}
