-- Drops what is older than the queue's maxAge, counted. Needs drop-oldest and now.
local function expire(queue, counters)
  local maxAge = tonumber(redis.call('HGET', counters, 'maxAge') or math.huge)
  local oldest = now() - maxAge
  local dropped, bytes = dropOldest(queue, '+', function(_, _, storedAt)
    return storedAt <= oldest
  end)
  if dropped > 0 then
    redis.call('HINCRBY', counters, 'dropped', dropped)
    redis.call('HINCRBY', counters, 'bytes', -bytes)
  end
end
