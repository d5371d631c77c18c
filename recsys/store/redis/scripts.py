"""What has to happen in Redis in one step, in Lua. Every script tells in its first lines what it is given.

Where a script takes a token, it does nothing unless that token stands under `publishing`: whoever was paused for longer
than its claim lasted finds another's there, or none. An empty token is one who has no claim and needs none.
"""

_HOLDS = "if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'stale'} end\n"

_NEXT_FENCE = """
local function next_fence(counter, generations, promoted)
  local top = redis.call('ZREVRANGE', generations, 0, 0, 'WITHSCORES')[2]
  local floor = math.max(tonumber(top or 0), tonumber(redis.call('GET', promoted) or 0))
  local fence = redis.call('INCR', counter)
  if fence <= floor then  -- the counter was lost; what it counted was not
    fence = floor + 1
    redis.call('SET', counter, string.format('%d', fence))
  end
  return fence
end
"""

_WRITTEN = """
local function written(users)  -- records of a hash, with those that were forgotten since: no publisher misses them
  local forgotten = redis.call('HGET', users, '')
  return redis.call('HLEN', users) + (forgotten and forgotten - 1 or 0)
end
"""

CLAIM = (
    _NEXT_FENCE
    + """
-- publishing, fence, generations, promoted; who, milliseconds, the token of one known to be dead
local held = redis.call('GET', KEYS[1])
local now = redis.call('TIME')[1]
if held and held ~= ARGV[3] then return {'held', held, now} end
local token = string.format('%d %d %s', next_fence(KEYS[2], KEYS[3], KEYS[4]), now, ARGV[1])
redis.call('SET', KEYS[1], token, 'PX', ARGV[2])
return {'claimed', token, now}
"""
)

RENEW = (
    _HOLDS
    + """
-- publishing; token, milliseconds
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {'done'}
"""
)

RELEASE = (
    _HOLDS
    + """
-- publishing, or who forgets; token
redis.call('UNLINK', KEYS[1])
return {'done'}
"""
)

STORED = (
    _HOLDS
    + _WRITTEN
    + """
-- publishing, manifest, parts' keys, users' keys; token, seconds an unfinished key stays, number of parts' keys
local finished = redis.call('EXISTS', KEYS[2]) == 1
local sizes = {}
for at = 3, #KEYS do
  sizes[at - 2] = at - 2 <= tonumber(ARGV[3]) and redis.call('STRLEN', KEYS[at]) or written(KEYS[at])
  if not finished then redis.call('EXPIRE', KEYS[at], ARGV[2]) end
end
return {'done', sizes}
"""
)

MEND = (
    _HOLDS
    + """
-- publishing, manifest, chunk; token, seconds an unfinished key stays, bytes
redis.call('SET', KEYS[3], ARGV[3])
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('EXPIRE', KEYS[3], ARGV[2]) end
return {'done'}
"""
)

RECORDS = (
    _HOLDS
    + """
-- publishing, manifest, users' hash; token, seconds an unfinished key stays, then id and record of each
local new = 0
for at = 3, #ARGV, 2000 do  -- Lua hands over some thousand values at once
  new = new + redis.call('HSET', KEYS[3], unpack(ARGV, at, math.min(at + 1999, #ARGV)))
end
-- who was forgotten and comes again is among the new ones
local forgotten = tonumber(redis.call('HGET', KEYS[3], '') or 0)
if forgotten > new then
  redis.call('HSET', KEYS[3], '', string.format('%d', forgotten - new))
elseif forgotten > 0 then
  redis.call('HDEL', KEYS[3], '')
end
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('EXPIRE', KEYS[3], ARGV[2]) end
return {'done'}
"""
)

MANIFEST = (
    _HOLDS
    + _NEXT_FENCE
    + _WRITTEN
    + """
-- publishing, manifest, generations, fence, promoted, parts' keys, users' keys;
-- token, id, manifest, the claim's fence, number of users, bytes under each of the parts' keys
local parts, users = #ARGV - 5, 0
for at = 6, #KEYS do
  local part = at - 5 <= parts
  if ARGV[1] ~= '' then
    local size = part and redis.call('STRLEN', KEYS[at]) or written(KEYS[at])
    if part and size ~= tonumber(ARGV[at]) then return {'missing', KEYS[at]} end
    if not part then users = users + size end
  end
end
if ARGV[1] ~= '' and users ~= tonumber(ARGV[5]) then return {'missing', 'users'} end
for at = 6, #KEYS do redis.call('PERSIST', KEYS[at]) end
redis.call('SET', KEYS[2], ARGV[3])
if not redis.call('ZSCORE', KEYS[3], ARGV[2]) then
  local fence = ARGV[1] == '' and next_fence(KEYS[4], KEYS[3], KEYS[5]) or ARGV[4]
  redis.call('ZADD', KEYS[3], string.format('%d', fence), ARGV[2])
end
return {'done'}
"""
)

MOVE = """#!lua flags=allow-oom
-- rolling back has to work in a full store, too
-- generations, live, previous, promoted, manifest; id, whether only forward, channel, what has to be live or nothing
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
"""

DELETE = """
-- manifest, generations, live, previous, cursor, parts' keys, users' keys; id
if redis.call('GET', KEYS[3]) == ARGV[1] or redis.call('GET', KEYS[4]) == ARGV[1] then return {'aliased'} end
redis.call('ZREM', KEYS[2], ARGV[1])
for at = 5, #KEYS do redis.call('UNLINK', KEYS[at]) end
redis.call('UNLINK', KEYS[1])
return {'done'}
"""

DISCARD = (
    _HOLDS
    + """
-- publishing, manifest, parts' keys, users' keys; token
if redis.call('EXISTS', KEYS[2]) == 1 then return {'finished'} end
for at = 3, #KEYS do redis.call('UNLINK', KEYS[at]) end
return {'done'}
"""
)

FORGET_FIELD = """#!lua flags=allow-oom
-- in a full store somebody can be forgotten, too
-- a hash of users' records or lists; the user
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' or redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
-- an empty hash is none, and would look lost to all whose records would be in it
redis.call('HINCRBY', KEYS[1], '', 1)
return redis.call('HDEL', KEYS[1], ARGV[1])
"""

LISTS = """
-- a hash of users' lists, the hash of their records, then each one's events; seconds it is kept, then each one's id and
-- list. Of whom nothing is known any more there is no list: that user was forgotten while it was made
for at = 2, #ARGV, 2 do
  local known = redis.call('HEXISTS', KEYS[2], ARGV[at]) == 1 or redis.call('EXISTS', KEYS[2 + at / 2]) == 1
  if known then redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
"""

MARK = (
    "#!lua flags=allow-oom\n"  # nobody reads what is marked, in a full store either
    + _HOLDS
    + """
-- who forgets, a stream, what goes with the last step; token, milliseconds, from where, how many, whether what comes
-- then is the first value of an entry that is theirs, or nothing where it only begins so
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local entries = redis.call('XRANGE', KEYS[2], ARGV[3], '+', 'COUNT', ARGV[4])
local wanted, lengths, theirs = {}, {}, {}
for at = 6, #ARGV do  -- many users may be told, of few lengths
  wanted[ARGV[at]] = true
  if ARGV[5] == '' then lengths[#ARGV[at]] = true end
end
for _, entry in ipairs(entries) do
  local told = entry[2][2]
  local found = wanted[told]
  for length in pairs(lengths) do found = found or wanted[told:sub(1, length)] end
  if found then theirs[#theirs + 1] = entry[1] end
end
if #theirs > 0 then redis.call('XDEL', KEYS[2], unpack(theirs)) end
if #entries == tonumber(ARGV[4]) then return {'more', entries[#entries][1]} end
for at = 3, #KEYS do redis.call('UNLINK', KEYS[at]) end
return {'done'}
"""
)

ALONE = """#!lua flags=allow-oom
-- who forgets; token, milliseconds
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
"""

COPY_ENTRIES = (
    "#!lua\n"  # refused in a full store; without this line PEXPIRE would make room for all that follows it
    + _HOLDS
    + """
-- who forgets, a stream, its copy; token, milliseconds, from where, how many; the last step puts the copy in its place
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if ARGV[3] == '-' then redis.call('UNLINK', KEYS[3]) end
local entries = redis.call('XRANGE', KEYS[2], ARGV[3], '+', 'COUNT', ARGV[4])
for _, entry in ipairs(entries) do redis.call('XADD', KEYS[3], entry[1], unpack(entry[2])) end
if #entries == tonumber(ARGV[4]) then
  redis.call('PEXPIRE', KEYS[3], ARGV[2])
  return {'more', entries[#entries][1]}
end
if redis.call('EXISTS', KEYS[3]) == 1 then
  local told = redis.call('XINFO', 'STREAM', KEYS[2])
  for at = 1, #told, 2 do  -- no entry to come may stand before one that a follower has read
    if told[at] == 'last-generated-id' then redis.call('XSETID', KEYS[3], told[at + 1]) end
  end
  redis.call('PERSIST', KEYS[3])
  redis.call('RENAME', KEYS[3], KEYS[2])
end
return {'done'}
"""
)
