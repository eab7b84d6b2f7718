#!lua
--[[
Records outbound QoS 2 exchanges before their PUBLISH is sent.

Input
  KEYS[1] lease
  KEYS[2] exchanges  hash: <id> = "<generation> <order> <publish|release>", <id>:packet, order (of the latest)
  ARGV[1] epoch
  ARGV[2] generation
  ARGV[3…] pairs: packet identifier, packet
Output
  0
  -1 the epoch is stale
]]
--- @include owns

if not owns(KEYS[1], ARGV[1]) then
  return -1
end
for i = 3, #ARGV, 2 do
  local order = redis.call('HINCRBY', KEYS[2], 'order', 1)
  local state = string.format('%s %d publish', ARGV[2], order)
  redis.call('HSET', KEYS[2], ARGV[i], state, ARGV[i] .. ':packet', ARGV[i + 1])
end
return 0
