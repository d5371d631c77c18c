#!lua flags=allow-oom
-- Replace the document of experiments, if it is the version that the change was made from. Works in a full store too.
-- KEYS: the document, its version, the generations that experiments need, then the manifest of each added generation
-- ARGV: the expected version, the document, channel of the announcement, then the ids of the added generations, and of
-- the others that experiments need
local version = redis.call('GET', KEYS[2]) or '0'
if redis.call('GET', KEYS[1]) == ARGV[2] then return {'written', version} end
if version ~= ARGV[1] then return {'changed', version} end
for at = 4, #KEYS do
  if redis.call('EXISTS', KEYS[at]) == 0 then return {'absent', ARGV[at]} end
end
version = string.format('%d', version + 1)
redis.call('SET', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], version)
redis.call('UNLINK', KEYS[3])
for at = 4, #ARGV do redis.call('SADD', KEYS[3], ARGV[at]) end
redis.call('PUBLISH', ARGV[3], 'experiments ' .. version)
return {'written', version}
