#!lua
--[[
Adds to the number of dropped messages.

Input
  KEYS[1] lease
  KEYS[2] counters
  ARGV[1] epoch
  ARGV[2] how many
Output
  0
  -1 the epoch is stale
]]
--- @include owns

if not owns(KEYS[1], ARGV[1]) then
  return -1
end
redis.call('HINCRBY', KEYS[2], 'dropped', ARGV[2])
return 0
