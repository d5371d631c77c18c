-- The timestamp of a stored event; nil if the text is not an event.
local function timestamp_of(text)
  local read, event = pcall(cjson.decode, text)
  local at = read and type(event) == 'table' and tonumber(event[3])
  return at and math.abs(at) < math.huge and at or nil
end

-- Sort a list of events by time. The sort is stable. An unreadable event keeps its place behind its predecessor.
local function sort_events(key)
  local events, at = redis.call('LRANGE', key, 0, -1), -math.huge
  for place, text in ipairs(events) do
    at = timestamp_of(text) or at
    events[place] = {at, place, text}
  end
  table.sort(events, function(one, other)
    if one[1] ~= other[1] then return one[1] < other[1] end
    return one[2] < other[2]
  end)
  redis.call('UNLINK', key)
  for _, event in ipairs(events) do redis.call('RPUSH', key, event[3]) end
end

-- Keep the newest `kept` events of a sorted list, drop events before the timestamp `oldest`, and set the expiry.
local function trim_events(key, kept, expire, oldest)
  if redis.call('EXISTS', key) == 0 then return end
  redis.call('LTRIM', key, -kept, -1)
  redis.call('EXPIRE', key, expire)
  while true do
    local at = timestamp_of(redis.call('LINDEX', key, 0))
    if not at or at >= tonumber(oldest) then break end
    redis.call('LPOP', key)
  end
end
