#!lua flags=allow-oom
--[[
Gives a unique name back if it is still that key's.

Input
  KEYS[1] claim
  ARGV[1] the key
Output
  0
]]
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 0
