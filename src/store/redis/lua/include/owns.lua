-- Whether the lease at this key is held by that epoch. A lease is "<epoch> <instance>"; an epoch has no space.
local function owns(leaseKey, epoch)
  local lease = redis.call('GET', leaseKey)
  return lease and string.sub(lease, 1, #epoch + 1) == epoch .. ' '
end
