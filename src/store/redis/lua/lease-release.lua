#!lua flags=allow-oom
--[[
Gives the lease back if that epoch still holds it.

Input
  KEYS[1] lease
  KEYS[2] waiting  sorted set: processes that stand in line
  ARGV[1] epoch
  ARGV[2] 'always', or 'unless-awaited'
Output
  0 given back
  1 not given back: somebody stands in line
  -1 the epoch is stale
]]
--- @include owns

if not owns(KEYS[1], ARGV[1]) then
  return -1
end
if ARGV[2] == 'unless-awaited' and redis.call('EXISTS', KEYS[2]) == 1 then
  return 1
end
redis.call('DEL', KEYS[1])
return 0
