#!lua
--[[
Commits one group of the inbound flow: messages into the queue, QoS 2 identifiers with them, releases erased; drops
what is too old, and the oldest messages over the limits unless the queue holds: then it takes the entries before the
first message that does not fit. Wakes the watchers (a PUBLISH on the channel named like the queue).

Input
  KEYS[1] lease
  KEYS[2] queue      stream; an entry is n = serial number, m = the encoded message
  KEYS[3] counters   hash: bytes, dropped, serial (of the newest message), maxAge
  KEYS[4] received   set of QoS 2 identifiers
  ARGV[1] epoch
  ARGV[2] maxMessages
  ARGV[3] maxBytes
  ARGV[4] maxAge, in milliseconds
  ARGV[5] overflow: dropOldest or hold
  ARGV[6…] pairs: QoS 2 identifier, '' when there is none; encoded message, '' for a release
Output
  {entries taken, messages stored, messages dropped}
  -1 the epoch is stale
]]
--- @include owns
--- @include drop-oldest
--- @include now

if not owns(KEYS[1], ARGV[1]) then
  return -1
end

local queue, received = KEYS[2], KEYS[4]
local maxMessages, maxBytes, holds = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[5] == 'hold'
local counters = redis.call('HMGET', KEYS[3], 'bytes', 'dropped', 'serial')
local bytes = tonumber(counters[1] or 0)
local dropped = tonumber(counters[2] or 0)
local serial = tonumber(counters[3] or 0)
local oldest = now() - tonumber(ARGV[4])

local depth = redis.call('XLEN', queue)
local over, overBytes = 0, 0
if holds then
  over, overBytes = dropOldest(queue, '+', function(_, _, storedAt)
    return storedAt <= oldest
  end)
  depth = depth - over
  bytes = bytes - overBytes
end

-- An empty queue takes any message: one that is larger than all the room would wait for ever.
local function hasRoom(size)
  return not holds or depth == 0 or (depth < maxMessages and bytes + size <= maxBytes)
end

local taken, stored = 0, 0
for i = 6, #ARGV, 2 do
  local identifier, message = ARGV[i], ARGV[i + 1]
  if message == '' then
    redis.call('SREM', received, identifier)
  elseif hasRoom(#message) then
    if identifier == '' or redis.call('SADD', received, identifier) == 1 then
      stored = stored + 1
      depth = depth + 1
      bytes = bytes + #message
      redis.call('XADD', queue, '*', 'n', serial + stored, 'm', message)
    end
  elseif identifier == '' or redis.call('SISMEMBER', received, identifier) == 0 then
    break
  end
  taken = taken + 1
end

if not holds then
  over, overBytes = dropOldest(queue, '+', function(count, size, storedAt)
    return depth - count > maxMessages or bytes - size > maxBytes or storedAt <= oldest
  end)
  bytes = bytes - overBytes
end

redis.call('HSET', KEYS[3], 'bytes', bytes, 'dropped', dropped + over, 'serial', serial + stored, 'maxAge', ARGV[4])
if stored > 0 then
  redis.call('PUBLISH', queue, '')
end
return {taken, stored, over}
