#!lua flags=allow-oom
--[[
Forgets finished exchanges.

Input
  KEYS[1] lease
  KEYS[2] exchanges
  ARGV[1] epoch
  ARGV[2…] packet identifiers
Output
  0
  -1 the epoch is stale
]]
--- @include owns

if not owns(KEYS[1], ARGV[1]) then
  return -1
end
for i = 2, #ARGV do
  redis.call('HDEL', KEYS[2], ARGV[i], ARGV[i] .. ':packet')
end
return 0
