-- KEYS: impressions, their counts. ARGV: the user and the packed impression of each
-- include functions/count_entry
for at = 1, #ARGV, 2 do
  local number, before = count_entry(KEYS[2], #ARGV[at] + #ARGV[at + 1])
  redis.call('XADD', KEYS[1], '*', 'u', ARGV[at], 'd', ARGV[at + 1], 'n', number, 'b', before)
end
