-- The process that has stood in line for the longest, of those that still ask: whoever asks no more is passed over.
-- `waiting` and `waitingUntil` are sorted sets of the same processes, by the time at which they came and until which they
-- wait.
local function firstInLine(waiting, waitingUntil, time)
  for _, gone in ipairs(redis.call('ZRANGE', waitingUntil, '-inf', time, 'BYSCORE')) do
    redis.call('ZREM', waiting, gone)
    redis.call('ZREM', waitingUntil, gone)
  end
  return redis.call('ZRANGE', waiting, 0, 0)[1]
end

-- Tells the first, on the channel named like the lease, that this is there to be taken.
local function wakeFirstInLine(lease, waiting, waitingUntil)
  if redis.call('EXISTS', waiting) == 0 then
    return
  end
  local first = firstInLine(waiting, waitingUntil, now())
  if first then
    redis.call('PUBLISH', lease, first)
  end
end
