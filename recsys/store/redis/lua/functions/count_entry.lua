-- Count an entry of `size` bytes. Returns the number of the entry and the bytes of all entries before it.
local function count_entry(counts, size)
  return redis.call('HINCRBY', counts, 'added', 1), redis.call('HINCRBY', counts, 'bytes', size) - size
end
