#!lua flags=allow-oom
--[[
Tells the time, by the clock of the server that has the instances: all that ask are told by the same.

Input
  KEYS[1] the instances
Output
  milliseconds since the epoch
]]
--- @include now

return now()
