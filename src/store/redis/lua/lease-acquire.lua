#!lua flags=allow-oom
--[[
Takes the lease if nobody else has it. The last lease is kept without expiry, so that the counter grows for the key's
life and a holder that comes back before anybody else took the lease finds its own epoch again.

Input
  KEYS[1] lease       "<counter>:<nonce> <holder>", expires with the lease
  KEYS[2] last-lease  the same, for ever
  ARGV[1] holder
  ARGV[2] nonce for a new epoch
  ARGV[3] milliseconds
Output
  {1, epoch} it is the caller's
  {0, holder} somebody else has it
]]
local current = redis.call('GET', KEYS[1])
local last = current or redis.call('GET', KEYS[2])
local epoch, holder = string.match(last or '', '^(%S+) (.*)$')
if current and holder ~= ARGV[1] then
  return {0, holder}
end
if holder ~= ARGV[1] then
  local counter = tonumber(string.match(epoch or '', '^%d+') or 0) + 1
  epoch = string.format('%d:%s', counter, ARGV[2])
end
local lease = epoch .. ' ' .. ARGV[1]
redis.call('SET', KEYS[1], lease, 'PX', ARGV[3])
redis.call('SET', KEYS[2], lease)
return {1, epoch}
