#!lua flags=allow-oom
--[[
Takes a process out of the line for a lease; where that is there to be taken, whoever is the first by then is woken.

Input
  KEYS[1] lease
  KEYS[2] waiting        sorted set: processes that stand in line, by the time at which they came
  KEYS[3] waiting-until  sorted set: the same, by the time until which they wait
  ARGV[1] instance
  ARGV[2] process
Output
  nil
]]
--- @include now
--- @include first-in-line

local me = ARGV[1] .. ' ' .. ARGV[2]
redis.call('ZREM', KEYS[2], me)
redis.call('ZREM', KEYS[3], me)
if redis.call('EXISTS', KEYS[1]) == 0 then
  wakeFirstInLine(KEYS[1], KEYS[2], KEYS[3])
end
return nil
