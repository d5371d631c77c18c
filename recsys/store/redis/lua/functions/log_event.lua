-- include functions/count_entry
-- Add an event to the log of all users: its JSON, its id or nothing, and the dataset of the generation in force.
local function log_event(log, counts, event, id, dataset)
  local number, before = count_entry(counts, #event + #id + #dataset)
  redis.call('XADD', log, '*', 'e', event, 'i', id, 's', dataset, 'n', number, 'b', before)
end
