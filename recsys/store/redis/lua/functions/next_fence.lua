-- Increment the fence counter. The result is above every fence in use, also after the counter was evicted.
local function next_fence(counter, generations, promoted)
  local top = redis.call('ZREVRANGE', generations, 0, 0, 'WITHSCORES')[2]
  local floor = math.max(tonumber(top or 0), tonumber(redis.call('GET', promoted) or 0))
  local fence = redis.call('INCR', counter)
  if fence <= floor then
    fence = floor + 1
    redis.call('SET', counter, string.format('%d', fence))
  end
  return fence
end
