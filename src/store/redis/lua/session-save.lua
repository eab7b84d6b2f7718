#!lua
--[[
Replaces the status of the session.

Input
  KEYS[1] lease
  KEYS[2] session  hash: generation, status
  ARGV[1] epoch
  ARGV[2] status, JSON
Output
  0
  -1 the epoch is stale
]]
--- @include owns

if not owns(KEYS[1], ARGV[1]) then
  return -1
end
redis.call('HSET', KEYS[2], 'status', ARGV[2])
return 0
