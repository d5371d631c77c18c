-- KEYS: manifest, generations, live, previous, then the other keys of the generation. ARGV: id
if redis.call('GET', KEYS[3]) == ARGV[1] or redis.call('GET', KEYS[4]) == ARGV[1] then return {'aliased'} end
redis.call('ZREM', KEYS[2], ARGV[1])
for at = 5, #KEYS do redis.call('UNLINK', KEYS[at]) end
redis.call('UNLINK', KEYS[1])
return {'done'}
