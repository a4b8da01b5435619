-- The feed of a bucket: a stream of every change of its levels, appended in the step that changes their rows.
--
-- An entry's id is the offset of its record and its number there: a change that is applied anew, because Redis
-- lost its last moments, gets the id it had. An entry says which entry stands before it ('a'), so that a reader
-- sees when something between was trimmed; which version of its level came before ('v', 0 for none known), so
-- that a change that never came is seen too; and the change ('c').
--
-- The field 'feed' of the bucket's offsets holds the offset from which on the feed has everything, and its
-- source. A row that becomes newer without its changes ends what the feed can vouch for: it begins anew, and
-- 'feed-breaks' counts that, for the offset may be the same as before.
--
-- Takes the arguments from `at` on: the offset at which the writer began to read; the most entries to keep, about;
-- the number of levels, for each its field and the version that its row is given in this call (0 for none);
-- then for each change the number of its level, its version, its offset, its number there and its bytes.
-- `first` is the place of the first level's key in `keys`; keys[3] is the stream, keys[4] a hash of the versions
-- of levels whose changes have come while their row has not: the rest of a large transaction.

local FEED, BREAKS = 'feed', 'feed-breaks'

local function decimal(number)
    return string.format('%.0f', number)
end

-- The version at the beginning of a stored value, 0 for none.
local function version_in(value)
    return value and tonumber(string.match(value, '^%d+')) or 0
end

local function begin_feed(offsets, stream, floor, source)
    redis.call('DEL', stream)
    redis.call('HSET', offsets, FEED, floor .. ' ' .. source)
end

-- Begin the feed anew at an offset: rows have become newer without their changes.
local function break_feed(offsets, stream, floor, source)
    redis.call('HINCRBY', offsets, BREAKS, 1)
    begin_feed(offsets, stream, floor, source)
end

-- The same, where its source stands.
local function break_feed_here(offsets, stream)
    local state = redis.call('HGET', offsets, FEED)
    if state then
        local floor, source = string.match(state, '^(%d+) (.*)$')
        break_feed(offsets, stream, redis.call('HGET', offsets, source) or floor, source)
    end
end

local function last_entry(stream, floor)
    local found = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)
    local id = found[1] and found[1][1] or floor .. '-0'
    local offset, number = string.match(id, '^(%d+)-(%d+)$')
    return id, tonumber(offset), tonumber(number)
end

local function append(keys, args, at, limit, known, floor)
    local stream, added = keys[3], false
    local last, last_offset, last_number = last_entry(stream, floor)
    for i = at, #args, 5 do
        local level, version = tonumber(args[i]), tonumber(args[i + 1])
        local offset, number = tonumber(args[i + 2]), tonumber(args[i + 3])
        if version > known[level] then
            if offset > last_offset or (offset == last_offset and number > last_number) then
                local id = args[i + 2] .. '-' .. args[i + 3]
                redis.call(
                    'XADD', stream, 'MAXLEN', '~', limit, id,
                    'a', last, 'v', decimal(known[level]), 'c', args[i + 4]
                )
                last, last_offset, last_number, added = id, offset, number, true
            end
            known[level] = version
        end
    end
    return added
end

local function tell(keys, first, args, at, source, held, offset)
    local begun, count = args[at], tonumber(args[at + 2])
    local state = redis.call('HGET', keys[1], FEED)
    local floor, told = string.match(state or '', '^(%d+) (.*)$')
    if told ~= source or (held ~= '' and tonumber(begun) > tonumber(held)) then
        floor, told = begun, source
        redis.call('DEL', keys[4])
        begin_feed(keys[1], keys[3], floor, told)
    end
    local unfinished = redis.call('EXISTS', keys[4]) == 1
    local known, rows, ahead = {}, {}, {}
    for level = 1, count do
        local key, field = keys[first + level - 1], args[at + 1 + 2 * level]
        local name = key .. '\0' .. field
        rows[level] = version_in(redis.call('HGET', key, field))
        ahead[level] = unfinished and tonumber(redis.call('HGET', keys[4], name)) or 0
        known[level] = math.max(rows[level], ahead[level])
    end
    local changes = at + 3 + 2 * count
    local added = changes <= #args and append(keys, args, changes, args[at + 1], known, floor)
    local jumped = false
    for level = 1, count do
        local name = keys[first + level - 1] .. '\0' .. args[at + 1 + 2 * level]
        local given = tonumber(args[at + 2 + 2 * level])
        if known[level] > math.max(rows[level], given) then
            redis.call('HSET', keys[4], name, decimal(known[level]))
        elseif ahead[level] > 0 then
            redis.call('HDEL', keys[4], name)
        end
        jumped = jumped or given > known[level]
    end
    if jumped then
        break_feed(keys[1], keys[3], offset, told)
    elseif added then
        local generation, bucket = string.match(keys[3], '^(.-):{b(%d+)}')
        redis.call('PUBLISH', generation .. ':feed', bucket)
    end
end
