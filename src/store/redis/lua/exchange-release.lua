#!lua flags=allow-oom
--[[
Records that PUBREC came: from now on only PUBREL may be sent. Exchanges of another generation are left alone.

Input
  KEYS[1] lease
  KEYS[2] exchanges
  ARGV[1] epoch
  ARGV[2] generation
  ARGV[3…] pairs: packet identifier, PUBREC's reason code
Output
  0
  -1 the epoch is stale
]]
--- @include owns

if not owns(KEYS[1], ARGV[1]) then
  return -1
end
for i = 3, #ARGV, 2 do
  local generation, order = string.match(redis.call('HGET', KEYS[2], ARGV[i]) or '', '^(%d+) (%d+) ')
  if generation == ARGV[2] then
    redis.call('HSET', KEYS[2], ARGV[i], string.format('%s %s release', generation, order))
    if ARGV[i + 1] ~= '0' then
      redis.call('HSET', KEYS[2], ARGV[i] .. ':reason', order .. ' ' .. ARGV[i + 1])
    end
  end
end
return 0
