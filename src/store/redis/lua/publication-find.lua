#!lua flags=allow-oom
--[[
A publication, by its id or its idempotency key, unless it has expired.

Input
  KEYS[1] publications
  KEYS[2] publication-keys
  KEYS[3] publication-expiry
  ARGV[1] id, or ''
  ARGV[2] idempotency key, or ''
Output
  {id, header, the state of each item …}
  {} there is none
]]
--- @include now
--- @include publication-view

local id = ARGV[1]
if id == '' then
  id = redis.call('HGET', KEYS[2], ARGV[2]) or ''
end
local expiresAt = redis.call('ZSCORE', KEYS[3], id)
if not expiresAt or tonumber(expiresAt) <= now() then
  return {}
end
return viewOf(KEYS[1], id)
