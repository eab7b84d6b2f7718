#!lua
--[[
Records a publication, with its messages in the outbox when they are given, unless its idempotency key is known.
Removes some that have expired.

Input
  KEYS[1] lease
  KEYS[2] publications  hash: <id> = "<accepted> <retention> <items> <queued> <batch> <fingerprint> <idempotency key>",
          <id>:unended, <id>:bytes (what it counts with), <id>:<index> (the item's state), <id>:<index>:message;
          bytes and sequence of the outbox; kept-bytes (the sum of <id>:bytes)
  KEYS[3] publication-keys  hash: the id by idempotency key
  KEYS[4] publication-expiry  sorted set: ids by the time at which they expire
  KEYS[5] outbox  sorted set: <id>:<index> of messages that have not ended, in the order of their positions
  ARGV[1] epoch
  ARGV[2] id
  ARGV[3] idempotency key, or ''
  ARGV[4] the rest of the header: "<queued> <batch> <fingerprint>"
  ARGV[5] retention in milliseconds
  ARGV[6] messages that the outbox may hold
  ARGV[7] bytes of them
  ARGV[8] publications that may be kept
  ARGV[9] bytes of them
  ARGV[10] bytes that this one counts with
  ARGV[11…] pairs: state of the item, message or ''
Output
  {1} begun
  {0} the outbox has no room
  {2, id, header, states …} the one that has the idempotency key
  {3} too many are kept
  -1 the epoch is stale
]]
--- @include owns
--- @include now
--- @include publication-view

if not owns(KEYS[1], ARGV[1]) then
  return -1
end
local publications, keys, expiry, outbox = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id, idempotencyKey, retention = ARGV[2], ARGV[3], tonumber(ARGV[5])
local time = now()

local function forget(former)
  local header = redis.call('HGET', publications, former)
  local count, key = string.match(header, '^%d+ %d+ (%d+) %d %d %S+ (.*)$')
  for index = 0, tonumber(count) - 1 do
    local field = former .. ':' .. index
    if redis.call('ZREM', outbox, field) == 1 then
      redis.call('HINCRBY', publications, 'bytes', -redis.call('HSTRLEN', publications, field .. ':message'))
    end
    redis.call('HDEL', publications, field, field .. ':message')
  end
  -- One of the release before counts with nothing.
  redis.call('HINCRBY', publications, 'kept-bytes', -(redis.call('HGET', publications, former .. ':bytes') or 0))
  redis.call('HDEL', publications, former, former .. ':unended', former .. ':bytes')
  redis.call('HDEL', keys, key)
  redis.call('ZREM', expiry, former)
end

if idempotencyKey ~= '' then
  local known = redis.call('HGET', keys, idempotencyKey)
  if known and tonumber(redis.call('ZSCORE', expiry, known)) > time then
    return {2, unpack(viewOf(publications, known))}
  elseif known then
    forget(known)
  end
end
local function forgetExpired(most)
  local expired = redis.call('ZRANGE', expiry, '-inf', time, 'BYSCORE', 'LIMIT', 0, most)
  for _, former in ipairs(expired) do
    forget(former)
  end
  return #expired > 0
end
forgetExpired(4)

local queued, bytes, unended = 0, 0, 0
for i = 11, #ARGV, 2 do
  if ARGV[i] == 'open' then
    unended = unended + 1
  end
  if ARGV[i + 1] ~= '' then
    queued = queued + 1
    bytes = bytes + #ARGV[i + 1]
  end
end
local held = tonumber(redis.call('HGET', publications, 'bytes') or 0)
if queued > 0 and (redis.call('ZCARD', outbox) + queued > tonumber(ARGV[6]) or held + bytes > tonumber(ARGV[7])) then
  return {0}
end

local function mayKeep()
  local kept = tonumber(redis.call('HGET', publications, 'kept-bytes') or 0)
  return redis.call('ZCARD', expiry) < tonumber(ARGV[8]) and kept + tonumber(ARGV[10]) <= tonumber(ARGV[9])
end
while not mayKeep() do
  if not forgetExpired(1) then
    return {3}
  end
end

local count = (#ARGV - 10) / 2
local header = string.format('%.0f %.0f %d %s %s', time, retention, count, ARGV[4], idempotencyKey)
redis.call('HSET', publications, id, header, id .. ':unended', unended, id .. ':bytes', ARGV[10])
redis.call('HINCRBY', publications, 'kept-bytes', ARGV[10])
for i = 11, #ARGV, 2 do
  local field = id .. ':' .. (i - 11) / 2
  redis.call('HSET', publications, field, ARGV[i])
  if ARGV[i + 1] ~= '' then
    redis.call('HSET', publications, field .. ':message', ARGV[i + 1])
    redis.call('ZADD', outbox, redis.call('HINCRBY', publications, 'sequence', 1), field)
  end
end
if queued > 0 then
  redis.call('HINCRBY', publications, 'bytes', bytes)
end
if idempotencyKey ~= '' then
  redis.call('HSET', keys, idempotencyKey, id)
end
redis.call('ZADD', expiry, time + retention * (unended > 0 and 2 or 1), id)
return {1}
