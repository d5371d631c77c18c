-- KEYS: publishing, manifest, chunk. ARGV: token, seconds to the expiry while there is no manifest, bytes
-- include functions/check_token
redis.call('SET', KEYS[3], ARGV[3])
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('EXPIRE', KEYS[3], ARGV[2]) end
return {'done'}
