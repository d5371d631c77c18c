-- KEYS: publishing. ARGV: token, milliseconds of the lease
-- include functions/check_token
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {'done'}
