#!lua flags=allow-oom
--[[
Forgets an instance, unless another process of it has said that it lives.

Input
  KEYS[1] members
  ARGV[1] instance
  ARGV[2] process
Output
  0
]]
local process = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^%d+ (%S+) ')
if process == ARGV[2] then
  redis.call('HDEL', KEYS[1], ARGV[1])
end
return 0
