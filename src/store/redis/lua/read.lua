#!lua flags=allow-oom
--[[
Reads a page of the queue, which first drops what is older than maxAge, and counts what is left after it.

Input
  KEYS[1] queue
  KEYS[2] counters
  ARGV[1] the position after which to read, '' for the start
  ARGV[2] how many messages at most
  ARGV[3] how many bytes; the message that passes it is the last one
Output
  {now in milliseconds, how many are left, {position, message, position, message …}}
]]
--- @include drop-oldest
--- @include now
--- @include expire

local queue, after, limit, maxBytes = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
expire(queue, KEYS[2])
local depth = redis.call('XLEN', queue)
local serial = tonumber(redis.call('HGET', KEYS[2], 'serial') or 0)

local from = after == '' and '-' or '(' .. after
local page, bytes, exhausted = {}, 0, false
while #page / 2 < limit and bytes < maxBytes and not exhausted do
  local wanted = math.min(64, limit - #page / 2)
  local chunk = redis.call('XRANGE', queue, from, '+', 'COUNT', wanted)
  for _, entry in ipairs(chunk) do
    page[#page + 1] = entry[1]
    page[#page + 1] = entry[2][4]
    bytes = bytes + #entry[2][4]
    from = '(' .. entry[1]
    if bytes >= maxBytes then
      break
    end
  end
  exhausted = #chunk < wanted
end

local function count(first, final)
  local found = 0
  repeat
    local chunk = redis.call('XRANGE', queue, first, final, 'COUNT', 128)
    found = found + #chunk
    first = #chunk > 0 and '(' .. chunk[#chunk][1]
  until #chunk < 128
  return found
end

-- Serial numbers count exactly while nothing was removed from the middle. Otherwise the shorter side is counted.
local function countFrom(entry)
  local first = tonumber(redis.call('XRANGE', queue, '-', '+', 'COUNT', 1)[1][2][2])
  local here = tonumber(entry[2][2])
  if serial - first + 1 == depth then
    return serial - here + 1
  elseif serial - here < here - first then
    return count(entry[1], '+')
  else
    return depth - count('-', '(' .. entry[1])
  end
end

local following = redis.call('XRANGE', queue, from, '+', 'COUNT', 1)[1]
return {now(), following and countFrom(following) or 0, page}
