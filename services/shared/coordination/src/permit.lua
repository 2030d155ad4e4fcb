local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function whole_again(key, interval, tolerance)
  local empty = now + tolerance + interval
  local kept = redis.pcall('GET', key)
  local tat = type(kept) == 'string' and string.match(kept, '^%d+$') and tonumber(kept)
  if not tat or tat > empty then
    return empty
  end
  return tat
end

local function keep(key, tat)
  redis.call('SET', key, string.format('%.0f', tat), 'PX', 600000)
end

local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local tat = whole_again(KEYS[1], interval, tolerance)
local seen = tonumber(ARGV[6])
if tat < seen then
  tat = math.min(seen, now + tolerance + interval)
end
local wait = math.max(tat - tolerance - now, 0)

local replay = ARGV[5] == '1'
local replay_interval, replay_tolerance = tonumber(ARGV[3]), tonumber(ARGV[4])
local replay_tat
if replay then
  replay_tat = whole_again(KEYS[2], replay_interval, replay_tolerance)
  wait = math.max(wait, replay_tat - replay_tolerance - now)
end

if wait == 0 then
  tat = math.max(tat, now) + interval
  if replay then
    replay_tat = math.max(replay_tat, now) + replay_interval
  end
end
keep(KEYS[1], tat)
if replay then
  keep(KEYS[2], replay_tat)
end
return { wait, tat }
