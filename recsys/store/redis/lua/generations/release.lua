-- Delete a key that holds a token. KEYS: the key. ARGV: token
-- include functions/check_token
redis.call('UNLINK', KEYS[1])
return {'done'}
