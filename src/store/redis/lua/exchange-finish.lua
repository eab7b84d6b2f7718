#!lua flags=allow-oom
--[[
Forgets finished exchanges, and tells the items that they belonged to.

Input
  KEYS[1] lease
  KEYS[2] exchanges
  KEYS[3] publications
  KEYS[4] publication-expiry
  KEYS[5] outbox
  ARGV[1] epoch
  ARGV[2] how many exchanges
  ARGV[3…] their packet identifiers; then triples: publication, index, outcome ('' when nothing was sent)
Output
  0
  -1 the epoch is stale
]]
--- @include owns
--- @include now
--- @include publication-items

if not owns(KEYS[1], ARGV[1]) then
  return -1
end
local last = 2 + tonumber(ARGV[2])
for i = 3, last do
  redis.call('HDEL', KEYS[2], ARGV[i], ARGV[i] .. ':packet', ARGV[i] .. ':item', ARGV[i] .. ':reason')
end
for i = last + 1, #ARGV, 3 do
  if ARGV[i + 2] == '' then
    setItem(KEYS[3], KEYS[5], KEYS[4], ARGV[i], ARGV[i + 1], 'exchanged', 'open')
  else
    setItem(KEYS[3], KEYS[5], KEYS[4], ARGV[i], ARGV[i + 1], '', 'done ' .. ARGV[i + 2])
  end
end
return 0
