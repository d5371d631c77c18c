-- The number of records that were written to a hash of users. The field '' counts the records of users who were deleted
-- since, so that a publisher does not miss them.
local function count_records(users)
  local forgotten = redis.call('HGET', users, '')
  return redis.call('HLEN', users) + (forgotten and forgotten - 1 or 0)
end
