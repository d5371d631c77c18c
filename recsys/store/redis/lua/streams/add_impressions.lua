-- Log impressions, once also if the call is repeated. Returns their number.
-- KEYS: impressions, their counts, the key of this call. ARGV: the user and the packed impression of each
-- include functions/count_entry
-- include functions/call_reply
local earlier = earlier_reply(KEYS[3])
if earlier then return earlier end
for at = 1, #ARGV, 2 do
  local number, before = count_entry(KEYS[2], #ARGV[at] + #ARGV[at + 1])
  redis.call('XADD', KEYS[1], '*', 'u', ARGV[at], 'd', ARGV[at + 1], 'n', number, 'b', before)
end
return keep_reply(KEYS[3], #ARGV / 2)
