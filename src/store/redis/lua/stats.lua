#!lua flags=allow-oom
--[[
What the queue holds, which first drops what is older than maxAge.

Input
  KEYS[1] queue
  KEYS[2] counters
Output
  {depth, bytes, dropped}
]]
--- @include drop-oldest
--- @include now
--- @include expire

expire(KEYS[1], KEYS[2])
local counters = redis.call('HMGET', KEYS[2], 'bytes', 'dropped')
return {redis.call('XLEN', KEYS[1]), tonumber(counters[1] or 0), tonumber(counters[2] or 0)}
