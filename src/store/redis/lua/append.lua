#!lua
--[[
Commits one group of the inbound flow: messages into the queue, QoS 2 identifiers with them, releases erased; then
drops the oldest messages over the limits, and wakes the watchers (a PUBLISH on the channel named like the queue).

Input
  KEYS[1] lease
  KEYS[2] queue      stream; an entry is n = serial number, m = the encoded message
  KEYS[3] counters   hash: bytes, dropped, serial (of the newest message), maxAge
  KEYS[4] received   set of QoS 2 identifiers
  ARGV[1] epoch
  ARGV[2] maxMessages
  ARGV[3] maxBytes
  ARGV[4] maxAge, in milliseconds
  ARGV[5…] pairs: QoS 2 identifier, '' when there is none; encoded message, '' for a release
Output
  {stored, dropped}
  -1 the epoch is stale
]]
--- @include owns
--- @include drop-oldest
--- @include now

if not owns(KEYS[1], ARGV[1]) then
  return -1
end

local queue, received = KEYS[2], KEYS[4]
local counters = redis.call('HMGET', KEYS[3], 'bytes', 'dropped', 'serial')
local bytes = tonumber(counters[1] or 0)
local dropped = tonumber(counters[2] or 0)
local serial = tonumber(counters[3] or 0)

local stored = 0
for i = 5, #ARGV, 2 do
  local identifier, message = ARGV[i], ARGV[i + 1]
  if message == '' then
    redis.call('SREM', received, identifier)
  elseif identifier == '' or redis.call('SADD', received, identifier) == 1 then
    stored = stored + 1
    bytes = bytes + #message
    redis.call('XADD', queue, '*', 'n', serial + stored, 'm', message)
  end
end

local depth = redis.call('XLEN', queue)
local maxMessages, maxBytes = tonumber(ARGV[2]), tonumber(ARGV[3])
local oldest = now() - tonumber(ARGV[4])
local over, overBytes = dropOldest(queue, '+', function(count, size, storedAt)
  return depth - count > maxMessages or bytes - size > maxBytes or storedAt <= oldest
end)

redis.call('HSET', KEYS[3], 'bytes', bytes - overBytes, 'dropped', dropped + over, 'serial', serial + stored, 'maxAge', ARGV[4])
if stored > 0 then
  redis.call('PUBLISH', queue, '')
end
return {stored, over}
