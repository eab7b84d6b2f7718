#!lua
--[[
Records outbound QoS 2 exchanges before their PUBLISH is sent; from then on they decide about the items that are theirs.

Input
  KEYS[1] lease
  KEYS[2] exchanges  hash: <id> = "<generation> <order> <publish|release>", <id>:packet, <id>:item,
          <id>:reason = "<order> <PUBREC's reason code>" unless that is 0, order (of the latest)
  KEYS[3] publications
  ARGV[1] epoch
  ARGV[2] generation
  ARGV[3…] triples: packet identifier, packet, "<publication>:<index>" or ''
Output
  0
  -1 the epoch is stale
]]
--- @include owns

if not owns(KEYS[1], ARGV[1]) then
  return -1
end
for i = 3, #ARGV, 3 do
  local order = redis.call('HINCRBY', KEYS[2], 'order', 1)
  local state = string.format('%s %d publish', ARGV[2], order)
  local item = ARGV[i + 2]
  redis.call('HSET', KEYS[2], ARGV[i], state, ARGV[i] .. ':packet', ARGV[i + 1])
  if item == '' then
    redis.call('HDEL', KEYS[2], ARGV[i] .. ':item')
  else
    redis.call('HSET', KEYS[2], ARGV[i] .. ':item', item)
    if redis.call('HGET', KEYS[3], item) == 'open' then
      redis.call('HSET', KEYS[3], item, 'exchanged')
    end
  end
end
return 0
