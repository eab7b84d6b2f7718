#!lua flags=no-writes
--[[
Tells which Connections are due by a time.

Input
  KEYS[1] a shard of the schedule
  ARGV[1] milliseconds from now
Output
  {key …}
]]
--- @include now

return redis.call('ZRANGE', KEYS[1], '-inf', now() + tonumber(ARGV[1]), 'BYSCORE')
