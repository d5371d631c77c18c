-- ARGV[1]: the token of the caller's claim; an empty token passes. KEYS[1]: the key that holds the valid token.
if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'stale'} end
