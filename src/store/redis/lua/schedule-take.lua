#!lua flags=allow-oom
--[[
Takes Connections that are due, those first that have been for longest, and makes them due again later.

Input
  KEYS[1] a shard of the schedule
  ARGV[1] how many at most
  ARGV[2] milliseconds until they are due again
Output
  {key, milliseconds for which it was due, key …}
]]
--- @include now

local time = now()
local due = redis.call('ZRANGE', KEYS[1], '-inf', time, 'BYSCORE', 'LIMIT', 0, ARGV[1], 'WITHSCORES')
for i = 1, #due, 2 do
  redis.call('ZADD', KEYS[1], time + tonumber(ARGV[2]), due[i])
  due[i + 1] = time - tonumber(due[i + 1])
end
return due
