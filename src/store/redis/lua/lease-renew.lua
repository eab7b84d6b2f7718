#!lua flags=allow-oom
--[[
Renews the lease if that epoch still holds it.

Input
  KEYS[1] lease
  ARGV[1] epoch
  ARGV[2] milliseconds
Output
  0 renewed
  -1 the epoch is stale
]]
--- @include owns

if not owns(KEYS[1], ARGV[1]) then
  return -1
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 0
