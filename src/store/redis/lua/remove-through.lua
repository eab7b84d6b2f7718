#!lua flags=allow-oom
--[[
Removes messages from the front of the queue up to and including a position, a bounded number at a time.

Input
  KEYS[1] queue
  KEYS[2] counters
  ARGV[1] the position
  ARGV[2] how many at most; when that many were removed there may be more
Output
  how many were removed
]]
--- @include drop-oldest

local most = tonumber(ARGV[2])
local removed, bytes = dropOldest(KEYS[1], ARGV[1], function(count)
  return count < most
end)
if removed > 0 then
  redis.call('HINCRBY', KEYS[2], 'bytes', -bytes)
end
return removed
