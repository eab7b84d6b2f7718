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
