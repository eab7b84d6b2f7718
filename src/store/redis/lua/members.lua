#!lua flags=allow-oom
--[[
Says that an instance lives, or just asks; forgets those that have not said so in time; answers the rest.

Input
  KEYS[1] members  hash: <instance> = "<lives until, in milliseconds> <process> <details, JSON>"
  ARGV[1] instance, '' to ask only
  ARGV[2] process
  ARGV[3] details
  ARGV[4] milliseconds that it lives without saying so again
Output
  {instance, process, details, instance …} in no order
]]
--- @include now

local time = now()
if ARGV[1] ~= '' then
  local member = string.format('%.0f %s %s', time + tonumber(ARGV[4]), ARGV[2], ARGV[3])
  redis.call('HSET', KEYS[1], ARGV[1], member)
end
local living = {}
local members = redis.call('HGETALL', KEYS[1])
for i = 1, #members, 2 do
  local livesUntil, process, details = string.match(members[i + 1], '^(%d+) (%S+) (.*)$')
  if tonumber(livesUntil) > time then
    living[#living + 1] = members[i]
    living[#living + 1] = process
    living[#living + 1] = details
  else
    redis.call('HDEL', KEYS[1], members[i])
  end
end
return living
