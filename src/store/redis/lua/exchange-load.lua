#!lua flags=allow-oom
--[[
The exchanges of a generation; those of others are discarded.

Input
  KEYS[1] lease
  KEYS[2] exchanges
  ARGV[1] epoch
  ARGV[2] generation
Output
  {order, packet identifier, publish|release, packet, order, …} in no order
  -1 the epoch is stale
]]
--- @include owns

if not owns(KEYS[1], ARGV[1]) then
  return -1
end
local found = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  if string.match(field, '^%d+$') then
    local state = redis.call('HGET', KEYS[2], field)
    local generation, order, stage = string.match(state, '^(%d+) (%d+) (%a+)$')
    if generation == ARGV[2] then
      found[#found + 1] = tonumber(order)
      found[#found + 1] = tonumber(field)
      found[#found + 1] = stage
      found[#found + 1] = redis.call('HGET', KEYS[2], field .. ':packet')
    else
      redis.call('HDEL', KEYS[2], field, field .. ':packet')
    end
  end
end
return found
