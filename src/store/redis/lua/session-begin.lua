#!lua
--[[
A new session began at the broker: raises the generation and forgets the QoS 2 identifiers of the one before.

Input
  KEYS[1] lease
  KEYS[2] session  hash: generation, status
  KEYS[3] received set of QoS 2 identifiers
  ARGV[1] epoch
  ARGV[2] status, JSON
Output
  the new generation
  -1 the epoch is stale
]]
--- @include owns

if not owns(KEYS[1], ARGV[1]) then
  return -1
end
redis.call('HSET', KEYS[2], 'status', ARGV[2])
redis.call('DEL', KEYS[3])
return redis.call('HINCRBY', KEYS[2], 'generation', 1)
