#!lua flags=allow-oom
--[[
Gives the lease back if that epoch still holds it.

Input
  KEYS[1] lease
  ARGV[1] epoch
Output
  0 given back
  -1 the epoch is stale
]]
--- @include owns

if not owns(KEYS[1], ARGV[1]) then
  return -1
end
redis.call('DEL', KEYS[1])
return 0
