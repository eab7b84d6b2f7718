#!lua flags=allow-oom
--[[
Removes messages wherever they are in the queue.

Input
  KEYS[1] queue
  KEYS[2] counters
  ARGV[1…] positions
Output
  how many there were
]]
local removed, bytes = 0, 0
for _, position in ipairs(ARGV) do
  local entry = redis.call('XRANGE', KEYS[1], position, position)[1]
  if entry then
    redis.call('XDEL', KEYS[1], position)
    removed = removed + 1
    bytes = bytes + #entry[2][4]
  end
end
if removed > 0 then
  redis.call('HINCRBY', KEYS[2], 'bytes', -bytes)
end
return removed
