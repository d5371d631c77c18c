-- Put items, all or none. Returns the new version, 0 if there is no room.
-- KEYS: epoch, next seq, version, changed, hidden, then the key of each item
-- ARGV: the first seq of a new epoch, the capacity, the capacity with hidden items, seconds to the expiry, channel of the
-- announcement, then of each item: its id, the number of its fields, and the name and the value of each field
local first, room, most, expire, channel = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local epoch, nextseq, version, changed, hidden = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local oldest = redis.call('ZRANGE', changed, 0, 0)[1]
while oldest and redis.call('EXISTS', 'item:' .. oldest) == 0 do
  redis.call('ZREM', changed, oldest)
  redis.call('SREM', hidden, oldest)
  oldest = redis.call('ZRANGE', changed, 0, 0)[1]
end
local at, new, placed, hides = 6, 0, 0, {}
for i = 6, #KEYS do
  local id, fields = ARGV[at], tonumber(ARGV[at + 1])
  local there = hides[id] ~= nil or redis.call('ZSCORE', changed, id)
  local was = hides[id]
  if was == nil then was = there and redis.call('SISMEMBER', hidden, id) == 1 end
  -- The first field is the id. An item whose only other field is its availability needs no scores.
  local available = fields == 2 and ARGV[at + 4] == 'available' and ARGV[at + 5]
  hides[id] = available and (was or not there and available == 'false') or false
  if not there then new = new + 1 end
  if not hides[id] and (was or not there) then placed = placed + 1 end
  at = at + 2 + 2 * fields
end
local kept = redis.call('ZCARD', changed)
if new > 0 and kept + new > most then return 0 end
if placed > 0 and kept - redis.call('SCARD', hidden) + placed > room then return 0 end
-- A failover, a restart and a restored backup may lose puts, whose numbers other items would get. In each case the server
-- has another replication id, and so a new epoch begins.
local history = redis.call('INFO', 'replication'):match('master_replid:(%x+)')
local drawn = (redis.call('GET', epoch) or ''):match(':(%x+)$')
if redis.call('EXISTS', epoch, nextseq, version) < 3 or drawn ~= history then
  redis.call('SET', epoch, first .. ':' .. history)
  redis.call('SET', nextseq, first)
  redis.call('SET', version, redis.call('ZRANGE', changed, -1, -1, 'WITHSCORES')[2] or 0)
end
local v = redis.call('INCR', version)
local clock = redis.call('TIME')
local now = clock[1] .. '.' .. string.format('%06d', clock[2])
at = 6
for i = 6, #KEYS do
  local key, id, fields = KEYS[i], ARGV[at], tonumber(ARGV[at + 1])
  if redis.call('HEXISTS', key, 'seq') == 0 then redis.call('HSET', key, 'seq', redis.call('INCR', nextseq)) end
  redis.call('HSET', key, 'version', v, 'at', now)
  at = at + 2
  for field = 1, fields do
    redis.call('HSET', key, ARGV[at], now .. ' ' .. ARGV[at + 1])
    at = at + 2
  end
  redis.call('EXPIRE', key, expire)
  redis.call('ZADD', changed, v, id)
  redis.call(hides[id] and 'SADD' or 'SREM', hidden, id)
end
for i = 1, 5 do redis.call('EXPIRE', KEYS[i], expire + 3600) end
redis.call('PUBLISH', channel, v)
return v
