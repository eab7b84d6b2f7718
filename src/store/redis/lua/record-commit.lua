#!lua flags=allow-oom
--[[
Makes a prepared record visible (create, last step).

Input
  KEYS[1] record
Output
  0
  -2 it is gone: it took too long
]]
if redis.call('HDEL', KEYS[1], 'pending') == 0 then
  return -2
end
redis.call('PERSIST', KEYS[1])
return 0
