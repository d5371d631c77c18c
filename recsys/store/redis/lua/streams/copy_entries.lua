#!lua
-- Copy a stream, some entries at a time; the last step puts the copy in the place of the stream.
-- The first line makes a full store refuse the script: without the line, PEXPIRE would allow the writes that follow it.
-- KEYS: lock, stream, copy. ARGV: token, milliseconds of the lock, - in the first step, entries of a step, then pairs of
-- a first value to replace in the copy and its replacement
-- A step continues behind the last entry of the copy, so a repeated step copies no entry twice. No copy is left behind
-- a repeated last step: the result is 'again', because another copy would begin in the middle of the stream.
-- include functions/check_token
local function last_id(stream)
  local info = redis.call('XINFO', 'STREAM', stream)
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then return info[at + 1] end
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local from = '-'
if ARGV[3] == '-' then
  redis.call('UNLINK', KEYS[3])
elseif redis.call('EXISTS', KEYS[3]) == 0 then
  return {'again'}
else
  from = '(' .. last_id(KEYS[3])
end
local replacements = {}
for at = 5, #ARGV, 2 do replacements[ARGV[at]] = ARGV[at + 1] end
local entries = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', ARGV[4])
for _, entry in ipairs(entries) do
  local values = entry[2]
  values[2] = replacements[values[2]] or values[2]
  redis.call('XADD', KEYS[3], entry[1], unpack(values))
end
if #entries == tonumber(ARGV[4]) then
  redis.call('PEXPIRE', KEYS[3], ARGV[2])
  return {'more', entries[#entries][1]}
end
if redis.call('EXISTS', KEYS[3]) == 1 then
  redis.call('XSETID', KEYS[3], last_id(KEYS[2]))  -- new entries must follow the last entry that a reader may have read
  redis.call('PERSIST', KEYS[3])
  redis.call('RENAME', KEYS[3], KEYS[2])
end
return {'done'}
