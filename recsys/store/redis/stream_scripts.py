"""Lua that writes users' events, the log of events and the impressions, and keeps both streams within their limits."""

from __future__ import annotations

_COUNT = """
local function count(counts, size)  -- an entry of `size` bytes: its number, and the bytes of all entries before it
  return redis.call('HINCRBY', counts, 'added', 1), redis.call('HINCRBY', counts, 'bytes', size) - size
end
"""

_HISTORY = """
local function moment(text)  -- of an event; nothing where it can't be read
  local read, event = pcall(cjson.decode, text)
  local at = read and type(event) == 'table' and tonumber(event[3])
  return at and math.abs(at) < math.huge and at or nil
end
local function sort(key)
  local told, at = redis.call('LRANGE', key, 0, -1), -math.huge
  for place, text in ipairs(told) do
    at = moment(text) or at  -- what can't be read stays behind what it came after
    told[place] = {at, place, text}
  end
  table.sort(told, function(one, other)
    if one[1] ~= other[1] then return one[1] < other[1] end
    return one[2] < other[2]
  end)
  redis.call('UNLINK', key)
  for _, each in ipairs(told) do redis.call('RPUSH', key, each[3]) end
end
local function trim(key, kept, expire, oldest)  -- to a user's newest events; the first are the oldest
  if redis.call('EXISTS', key) == 0 then return end
  redis.call('LTRIM', key, -kept, -1)
  redis.call('EXPIRE', key, expire)
  while true do
    local at = moment(redis.call('LINDEX', key, 0))
    if not at or at >= tonumber(oldest) then break end
    redis.call('LPOP', key)
  end
end
"""

EVENTS = (
    _HISTORY
    + _COUNT
    + """
-- a user's events, their ids, the log of all users, its counts; events kept, their expiry, ids kept, their expiry, 1
-- to log the events, now in milliseconds, the oldest timestamp kept, then for each event: its id or nothing, whether it
-- is part of the user's history, the event as JSON
local new = 0
local ids, number, before = false
local newest, late
for at = 8, #ARGV, 3 do
  local id = ARGV[at]
  if id == '' or not redis.call('ZSCORE', KEYS[2], id) then
    new = new + 1
    if ARGV[at + 1] == '1' then
      newest = newest or moment(redis.call('LINDEX', KEYS[1], -1)) or -math.huge
      redis.call('RPUSH', KEYS[1], ARGV[at + 2])
      local told = moment(ARGV[at + 2]) or newest
      late = late or told < newest
      newest = told
    end
    if ARGV[5] == '1' then
      number, before = count(KEYS[4], #ARGV[at + 2])
      redis.call('XADD', KEYS[3], '*', 'e', ARGV[at + 2], 'n', number, 'b', before)
    end
    if id ~= '' then  -- last: an id that is known without its event would keep it out for good
      redis.call('ZADD', KEYS[2], ARGV[6] + (at - 8) / 3, id)
      ids = true
    end
  end
end
if ids then
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -ARGV[3] - 1)
  redis.call('EXPIRE', KEYS[2], ARGV[4])
end
if late then sort(KEYS[1]) end
trim(KEYS[1], ARGV[1], ARGV[2], ARGV[7])
return new
"""
)

MERGE = (
    _HISTORY
    + _COUNT
    + """
-- events and event ids of the user that is removed, the same of the other user, the log of all users, its counts; what
-- EVENTS takes up to the oldest timestamp, then the beginning of the JSON of the other user's events, the number of
-- beginnings of either user's events, these beginnings, then for each event to add: its JSON behind the user
local begin, last = ARGV[8], 9 + ARGV[9]
local function rest(text)  -- the JSON of an event behind its user; nothing where the event is neither's
  for at = 10, last do
    if text:sub(1, #ARGV[at]) == ARGV[at] then return text:sub(#ARGV[at] + 1) end
  end
end
local there, moved = {}, {}
local function move(told)
  if told and not there[told] then
    there[told] = true
    moved[#moved + 1] = begin .. told
  end
end
local theirs = redis.call('LRANGE', KEYS[1], 0, -1)
local ids = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '+inf', 'WITHSCORES')
for _, text in ipairs(redis.call('LRANGE', KEYS[3], 0, -1)) do there[rest(text) or ''] = true end
for at = last + 1, #ARGV do move(ARGV[at]) end
local added, number, before = #moved
for _, text in ipairs(theirs) do move(rest(text)) end
for at = 1, #ids, 2 do redis.call('ZADD', KEYS[4], ids[at + 1], ids[at]) end
if #ids > 0 then
  redis.call('ZREMRANGEBYRANK', KEYS[4], 0, -ARGV[3] - 1)
  redis.call('EXPIRE', KEYS[4], ARGV[4])
end
for at, text in ipairs(moved) do
  redis.call('RPUSH', KEYS[3], text)
  if at > added and ARGV[5] == '1' then
    number, before = count(KEYS[6], #text)
    redis.call('XADD', KEYS[5], '*', 'e', text, 'n', number, 'b', before)
  end
end
if #moved > 0 then sort(KEYS[3]) end
trim(KEYS[3], ARGV[1], ARGV[2], ARGV[7])
redis.call('UNLINK', KEYS[1], KEYS[2])
return #redis.call('LRANGE', KEYS[3], 0, -1)
"""
)

IMPRESSIONS = (
    _COUNT
    + """
-- the impressions, their counts; for each impression: its user, the packed impression
for at = 1, #ARGV, 2 do
  local number, before = count(KEYS[2], #ARGV[at] + #ARGV[at + 1])
  redis.call('XADD', KEYS[1], '*', 'u', ARGV[at], 'd', ARGV[at + 1], 'n', number, 'b', before)
end
"""
)

LIMIT = """
-- a stream, its counts; seconds and bytes that it keeps. Trimming by ~ removes whole nodes, so no byte of them is left
local now = redis.call('TIME')
local oldest = math.max(0, 1000 * (now[1] - ARGV[1]) + now[2] / 1000)
local expired = redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%d', oldest))
if expired > 0 then redis.call('HINCRBY', KEYS[2], 'expired', expired) end
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if not first then return end
if first[2][#first[2] - 1] ~= 'b' then return end  -- by an earlier version, which keeps a number of entries
local bytes = (redis.call('HGET', KEYS[2], 'bytes') or 0) - first[2][#first[2]]
if bytes <= tonumber(ARGV[2]) then return end
local kept = string.format('%d', redis.call('XLEN', KEYS[1]) * ARGV[2] / bytes)
local evicted = redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', kept)
if evicted > 0 then redis.call('HINCRBY', KEYS[2], 'evicted', evicted) end
"""
