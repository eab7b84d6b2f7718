#!lua flags=allow-oom
--[[
The exchanges of a generation; those of others are discarded, and nobody will know what became of their items.

Input
  KEYS[1] lease
  KEYS[2] exchanges
  KEYS[3] publications
  KEYS[4] publication-expiry
  KEYS[5] outbox
  ARGV[1] epoch
  ARGV[2] generation
Output
  {order, packet identifier, publish|release, PUBREC's reason code, packet, "<publication>:<index>" or '', order …}
  in no order
  -1 the epoch is stale
]]
--- @include owns
--- @include now
--- @include publication-items

if not owns(KEYS[1], ARGV[1]) then
  return -1
end
-- The release before forgets an exchange without its reason code: it counts for the exchange of that order alone.
local function reasonOf(field, order)
  local ofOrder, reason = string.match(redis.call('HGET', KEYS[2], field .. ':reason') or '', '^(%d+) (%d+)$')
  return ofOrder == order and tonumber(reason) or 0
end

local found = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  if string.match(field, '^%d+$') then
    local state = redis.call('HGET', KEYS[2], field)
    local item = redis.call('HGET', KEYS[2], field .. ':item') or ''
    local generation, order, stage = string.match(state, '^(%d+) (%d+) (%a+)$')
    if generation == ARGV[2] then
      found[#found + 1] = tonumber(order)
      found[#found + 1] = tonumber(field)
      found[#found + 1] = stage
      found[#found + 1] = reasonOf(field, order)
      found[#found + 1] = redis.call('HGET', KEYS[2], field .. ':packet')
      found[#found + 1] = item
    else
      redis.call('HDEL', KEYS[2], field, field .. ':packet', field .. ':item', field .. ':reason')
      local publication, index = string.match(item, '^(.+):(%d+)$')
      if publication then
        setItem(KEYS[3], KEYS[5], KEYS[4], publication, index, 'exchanged', 'lost')
      end
    end
  end
end
return found
