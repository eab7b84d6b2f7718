#!lua
--[[
Replaces a record that is still at the revision it was made from.

Input
  KEYS[1] record
  ARGV[1] revision it was made from
  ARGV[2] json
  ARGV[3] new revision
Output
  0
  -2 it is gone
  -3 it has another revision
]]
local current = redis.call('HMGET', KEYS[1], 'revision', 'pending')
if not current[1] or current[2] then
  return -2
end
if current[1] ~= ARGV[1] then
  return -3
end
redis.call('HSET', KEYS[1], 'json', ARGV[2], 'revision', ARGV[3])
return 0
