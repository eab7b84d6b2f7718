#!lua flags=allow-oom
--[[
Says when Connections are due, whatever was said of them before.

Input
  KEYS[1] a shard of the schedule  sorted set: keys by the time at which they are due, in milliseconds
  ARGV[1…] pairs: key, milliseconds from now
Output
  0
]]
--- @include now

local time = now()
for i = 1, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], time + tonumber(ARGV[i + 1]), ARGV[i])
end
return 0
