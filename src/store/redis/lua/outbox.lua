#!lua flags=allow-oom
--[[
Open messages of the outbox, in their order.

Input
  KEYS[1] publications
  KEYS[2] outbox
  ARGV[1] the position after which to read
  ARGV[2] how many messages at most
  ARGV[3] how many bytes; the message that passes it is the last one
Output
  {now in milliseconds, {position, <id>:<index>, header of the publication, message, position …}}
]]
--- @include now

local publications, outbox = KEYS[1], KEYS[2]
local from, limit, maxBytes = '(' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local page, bytes, exhausted = {}, 0, false
while #page / 4 < limit and bytes < maxBytes and not exhausted do
  local chunk = redis.call('ZRANGE', outbox, from, '+inf', 'BYSCORE', 'LIMIT', 0, 64, 'WITHSCORES')
  for i = 1, #chunk, 2 do
    local field, position = chunk[i], chunk[i + 1]
    if #page / 4 >= limit or bytes >= maxBytes then
      break
    end
    from = '(' .. position
    if redis.call('HGET', publications, field) == 'open' then
      local message = redis.call('HGET', publications, field .. ':message')
      page[#page + 1] = tonumber(position)
      page[#page + 1] = field
      page[#page + 1] = redis.call('HGET', publications, string.match(field, '^[^:]+'))
      page[#page + 1] = message
      bytes = bytes + #message
    end
  end
  exhausted = #chunk < 128
end
return {now(), page}
