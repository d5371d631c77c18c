-- Finish a generation. With a token, a missing or short chunk and a missing record are refused.
-- KEYS: publishing, manifest, generations, fence, promoted, unfinished generations, tombstones, chunks, hashes of users
-- ARGV: token, id, manifest, the claim's fence, number of users, the generation and its buckets as a member of the
-- unfinished ones, bytes of each chunk
-- More records than users are those of users who were deleted from the publisher's folder since they were written.
-- include functions/check_token
-- include functions/next_fence
-- include functions/count_records
local chunks, users = #ARGV - 6, 0
for at = 8, #KEYS do
  local chunk = at - 7 <= chunks
  if ARGV[1] ~= '' then
    local size = chunk and redis.call('STRLEN', KEYS[at]) or count_records(KEYS[at])
    if chunk and size ~= tonumber(ARGV[at - 1]) then return {'missing', KEYS[at]} end
    if not chunk then users = users + size end
  end
end
if ARGV[1] ~= '' and users < tonumber(ARGV[5]) then return {'missing', 'users'} end
for at = 8, #KEYS do redis.call('PERSIST', KEYS[at]) end
redis.call('SET', KEYS[2], ARGV[3])
if not redis.call('ZSCORE', KEYS[3], ARGV[2]) then
  local fence = ARGV[1] == '' and next_fence(KEYS[4], KEYS[3], KEYS[5]) or ARGV[4]
  redis.call('ZADD', KEYS[3], string.format('%d', fence), ARGV[2])
end
redis.call('ZREM', KEYS[6], ARGV[6])
redis.call('UNLINK', KEYS[7])
return {'done'}
