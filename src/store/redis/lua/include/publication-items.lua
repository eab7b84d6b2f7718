-- The state of one item of a publication, "open", "exchanged", "lost" or "done <outcome>", is in the field <id>:<index>.
-- What has ended leaves the outbox, and with the last item the publication gets the time that it is kept. Needs now.
local function setItem(publications, outbox, expiry, id, index, from, state)
  local field = id .. ':' .. index
  local before = redis.call('HGET', publications, field)
  if not before or (from ~= '' and before ~= from) then
    return
  end
  redis.call('HSET', publications, field, state)
  local function hasEnded(value)
    return value ~= 'open' and value ~= 'exchanged'
  end
  if hasEnded(before) or not hasEnded(state) then
    return
  end
  local size = redis.call('HSTRLEN', publications, field .. ':message')
  if redis.call('ZREM', outbox, field) == 1 then
    redis.call('HINCRBY', publications, 'bytes', -size)
    redis.call('HDEL', publications, field .. ':message')
  end
  if redis.call('HINCRBY', publications, id .. ':unended', -1) == 0 then
    local retention = string.match(redis.call('HGET', publications, id), '^%d+ (%d+) ')
    redis.call('ZADD', expiry, now() + tonumber(retention), id)
  end
end
