-- Count an event of an item in the hash of a minute or an hour, if there is one. The field '' counts the events of all
-- items: readers compare it to find the hashes that changed. A hash takes no further items above 200,000 fields: a client
-- that sends random ids would fill the memory of the store and of all readers.
local function count_event(key, item, expire)
  if key == '' then return end
  local fields = redis.pcall('HLEN', key)  -- an error where users.acl is older: then there is no limit
  if type(fields) == 'number' and fields > 200000 and not redis.call('HGET', key, item) then return end
  redis.call('HINCRBY', key, item, 1)
  redis.call('HINCRBY', key, '', 1)
  redis.call('EXPIRE', key, expire)
end
