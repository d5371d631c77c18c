#!lua flags=allow-oom
-- Move the alias `live` to a generation, and `previous` to what was live. Works in a full store too.
-- KEYS: generations, live, previous, promoted, manifest
-- ARGV: id, 1 to refuse a move to an older generation, channel of the announcement, the expected live id or nothing
local live, previous, to = redis.call('GET', KEYS[2]), redis.call('GET', KEYS[3]), ARGV[1]
local fence = tonumber(redis.call('ZSCORE', KEYS[1], to) or -1)
if fence < 0 or redis.call('EXISTS', KEYS[5]) == 0 then return {'absent'} end
if to == live then return {'moved', live, live, previous} end
if ARGV[4] ~= '' and live ~= ARGV[4] then return {'changed', live} end
local newest = math.max(
  tonumber(redis.call('GET', KEYS[4]) or -1), live and tonumber(redis.call('ZSCORE', KEYS[1], live) or -1) or -1)
if ARGV[2] == '1' and fence <= newest then return {'stale', live} end
if live then redis.call('SET', KEYS[3], live) end
redis.call('SET', KEYS[2], to)
redis.call('SET', KEYS[4], string.format('%d', math.max(newest, fence)))
redis.call('PUBLISH', ARGV[3], 'live ' .. to)
return {'moved', live, to, live or previous}
