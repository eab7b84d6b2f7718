#!lua flags=allow-oom
--[[
Removes a record and everything under its key.

Input
  KEYS[1] record
  KEYS[2…] the other keys of the Connection
Output
  the record as JSON, false when there was none
]]
local json = redis.call('HGET', KEYS[1], 'json')
for _, key in ipairs(KEYS) do
  redis.call('UNLINK', key)
end
return json
