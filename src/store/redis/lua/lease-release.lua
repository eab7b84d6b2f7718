#!lua flags=allow-oom
--[[
Gives the lease back if that epoch still holds it, and wakes whoever is the first in line.

Input
  KEYS[1] lease
  KEYS[2] waiting        sorted set: processes that stand in line, by the time at which they came
  KEYS[3] waiting-until  sorted set: the same, by the time until which they wait
  ARGV[1] epoch
  ARGV[2] 'always', or 'unless-awaited'
Output
  0 given back
  1 not given back: somebody stands in line
  -1 the epoch is stale
]]
--- @include owns
--- @include now
--- @include first-in-line

if not owns(KEYS[1], ARGV[1]) then
  return -1
end
if ARGV[2] == 'unless-awaited' and redis.call('EXISTS', KEYS[2]) == 1 then
  return 1
end
redis.call('DEL', KEYS[1])
wakeFirstInLine(KEYS[1], KEYS[2], KEYS[3])
return 0
