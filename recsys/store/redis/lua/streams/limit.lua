-- Remove the oldest entries of a stream beyond its limits, and count them.
-- Trimming by ~ removes whole nodes of the stream, so that no byte of an entry is left.
-- KEYS: stream, its counts. ARGV: seconds and bytes that the stream keeps
local now = redis.call('TIME')
local oldest = math.max(0, 1000 * (now[1] - ARGV[1]) + now[2] / 1000)
local expired = redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%d', oldest))
if expired > 0 then redis.call('HINCRBY', KEYS[2], 'expired', expired) end
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if not first then return end
local bytes = (redis.call('HGET', KEYS[2], 'bytes') or 0) - first[2][#first[2]]
if bytes <= tonumber(ARGV[2]) then return end
local kept = string.format('%d', redis.call('XLEN', KEYS[1]) * ARGV[2] / bytes)
local evicted = redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', kept)
if evicted > 0 then redis.call('HINCRBY', KEYS[2], 'evicted', evicted) end
