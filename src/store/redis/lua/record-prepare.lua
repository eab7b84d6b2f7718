#!lua
--[[
Writes a record that nobody sees yet and that expires by itself unless it is committed (create, step 1).

Input
  KEYS[1] record  hash: json, revision, and pending until it is committed
  ARGV[1] json
  ARGV[2] revision
  ARGV[3] milliseconds
Output
  0
]]
redis.call('HSET', KEYS[1], 'json', ARGV[1], 'revision', ARGV[2], 'pending', '1')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 0
