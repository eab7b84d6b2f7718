-- A publication as it is answered: {id, header, the state of each item …}.
local function viewOf(publications, id)
  local header = redis.call('HGET', publications, id)
  local view = {id, header}
  for index = 0, tonumber(string.match(header, '^%d+ %d+ (%d+) ')) - 1 do
    view[#view + 1] = redis.call('HGET', publications, id .. ':' .. index)
  end
  return view
end
