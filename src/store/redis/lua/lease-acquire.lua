#!lua flags=allow-oom
--[[
Takes the lease if no other instance has it. The last lease is kept without expiry, so that the counter grows for the
key's life and a process that comes back before anybody else took the lease finds its own epoch again. An instance's
next process takes its lease over with an epoch of its own.

Input
  KEYS[1] lease       "<counter>:<nonce>:<process> <instance>", expires with the lease; "<counter>:<nonce> <instance>"
          from the release before, which reads either
  KEYS[2] last-lease  the same, for ever
  KEYS[3] waiting        sorted set: processes that stand in line, by the time at which they came
  KEYS[4] waiting-until  sorted set: the same, by the time until which they wait
  ARGV[1] instance
  ARGV[2] process
  ARGV[3] nonce for a new epoch
  ARGV[4] milliseconds
  ARGV[5] milliseconds that the caller stands in line, 0 when it does not
Output
  {1, epoch} it is the caller's
  {0, instance} another one has it, or '' when others come first
]]
--- @include now
--- @include first-in-line

local me, wait = ARGV[1] .. ' ' .. ARGV[2], tonumber(ARGV[5])

local function standInLine(time)
  redis.call('ZADD', KEYS[3], 'NX', time, me)
  redis.call('ZADD', KEYS[4], time + wait, me)
  redis.call('PEXPIRE', KEYS[3], wait)
  redis.call('PEXPIRE', KEYS[4], wait)
end

local current = redis.call('GET', KEYS[1])
local last = current or redis.call('GET', KEYS[2])
local epoch, instance = string.match(last or '', '^(%S+) (.*)$')
if current and instance ~= ARGV[1] then
  if wait > 0 then
    standInLine(now())
  end
  return {0, instance}
end
-- Whoever has it does not stand in line to be told so.
if wait > 0 and not current then
  local time = now()
  local first = firstInLine(KEYS[3], KEYS[4], time)
  if first and first ~= me then
    standInLine(time)
    return {0, ''}
  end
  redis.call('ZREM', KEYS[3], me)
  redis.call('ZREM', KEYS[4], me)
end
local process = string.match(epoch or '', '^%d+:[^:]*:(.*)$')
if instance ~= ARGV[1] or process ~= ARGV[2] then
  local counter = tonumber(string.match(epoch or '', '^%d+') or 0) + 1
  epoch = string.format('%d:%s:%s', counter, ARGV[3], ARGV[2])
end
local lease = epoch .. ' ' .. ARGV[1]
redis.call('SET', KEYS[1], lease, 'PX', ARGV[4])
redis.call('SET', KEYS[2], lease)
return {1, epoch}
