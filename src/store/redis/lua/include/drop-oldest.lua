-- Removes messages from the front of a queue for as long as `unwanted(dropped, bytes, storedAt)` says so, where the
-- first two are what was dropped so far and the third is in milliseconds by this server's clock, the first part of an
-- id; answers how many and their bytes. `last` is the highest id to look at.
-- It looks at chunks that grow from one, since mostly nothing or little is unwanted, and trims once: XTRIM of the
-- oldest is cheap, and keeps the stream's last id even when nothing is left, so that no id is ever given out twice.
local function dropOldest(queue, last, unwanted)
  local from, dropped, bytes = '-', 0, 0
  local looking, size = true, 1
  while looking do
    local chunk = redis.call('XRANGE', queue, from, last, 'COUNT', size)
    for _, entry in ipairs(chunk) do
      if not unwanted(dropped, bytes, tonumber(string.match(entry[1], '^%d+'))) then
        looking = false
        break
      end
      dropped = dropped + 1
      bytes = bytes + #entry[2][4]
      from = '(' .. entry[1]
    end
    looking = looking and #chunk == size
    size = math.min(size * 2, 128)
  end
  if dropped > 0 then
    redis.call('XTRIM', queue, 'MAXLEN', redis.call('XLEN', queue) - dropped)
  end
  return dropped, bytes
end
