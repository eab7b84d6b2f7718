#!lua
--[[
Compare-and-set of a unique name: takes it when it is free or still belongs to a holder that was found not to exist.

Input
  KEYS[1] claim  the key of the Connection that has the name
  ARGV[1] the key that wants it
  ARGV[2] the holder found stale, '' when none was
Output
  '' the name is the caller's
  the key that holds it
]]
local holder = redis.call('GET', KEYS[1]) or ''
if holder ~= '' and holder ~= ARGV[1] and holder ~= ARGV[2] then
  return holder
end
redis.call('SET', KEYS[1], ARGV[1])
return ''
