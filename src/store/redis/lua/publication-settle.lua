#!lua flags=allow-oom
--[[
Gives items that are open their outcome.

Input
  KEYS[1] lease
  KEYS[2] publications
  KEYS[3] publication-expiry
  KEYS[4] outbox
  ARGV[1] epoch
  ARGV[2…] triples: id, index, outcome
Output
  0
  -1 the epoch is stale
]]
--- @include owns
--- @include now
--- @include publication-items

if not owns(KEYS[1], ARGV[1]) then
  return -1
end
for i = 2, #ARGV, 3 do
  setItem(KEYS[2], KEYS[4], KEYS[3], ARGV[i], ARGV[i + 1], 'open', 'done ' .. ARGV[i + 2])
end
return 0
