-- Count an event of an item in the hash of a minute or an hour, if there is one. The field '' counts the events of all
-- items: readers compare it to find the hashes that changed.
local function count_event(key, item, expire)
  if key == '' then return end
  redis.call('HINCRBY', key, item, 1)
  redis.call('HINCRBY', key, '', 1)
  redis.call('EXPIRE', key, expire)
end
