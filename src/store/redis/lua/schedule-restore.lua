#!lua flags=allow-oom
--[[
Makes Connections due of which the schedule says nothing.

Input
  KEYS[1] a shard of the schedule
  ARGV[1…] their keys
Output
  how many it said nothing of
]]
--- @include now

local time, restored = now(), 0
for _, key in ipairs(ARGV) do
  restored = restored + redis.call('ZADD', KEYS[1], 'NX', time, key)
end
return restored
