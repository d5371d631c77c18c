-- KEYS: manifest, generations, live, previous, the generations that experiments need, then the other keys of the
-- generation. ARGV: id
if redis.call('GET', KEYS[3]) == ARGV[1] or redis.call('GET', KEYS[4]) == ARGV[1] then return {'aliased'} end
if redis.call('SISMEMBER', KEYS[5], ARGV[1]) == 1 then return {'needed'} end
redis.call('ZREM', KEYS[2], ARGV[1])
for at = 6, #KEYS do redis.call('UNLINK', KEYS[at]) end
redis.call('UNLINK', KEYS[1])
return {'done'}
