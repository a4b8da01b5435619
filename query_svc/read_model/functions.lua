-- Take what is newer, keep its entries in the indexes, and record how far the source has been read: one
-- step, in one slot.
--
-- KEYS: the bucket's hash of offsets, its hash of entries, its feed and what is ahead of that, then for each
--       change the hash its row belongs to, then those of the levels that the feed is told of, then the
--       indexes that the rows may stand in.
-- ARGV: the source ('' for changes of no source, with no offset), the offset it must stand at ('' for none),
--       the offset to record, how many changes there are, then for each its field; its value, which begins
--       with its version in decimal and a mark; the entries that its row keeps for ever; those it has until
--       its next version, of which the mark says whether it has any; and the version that it follows ('' if
--       that is not known); then, of a source, what the feed is told, for which see feed.lua. Levels of no
--       source that become newer end what the feed can vouch for.
-- Entries are index \1 member \2, one after the other; an index is named by its key without the tag.
-- Returns how many changes were applied, how many were not newer than what is there, and for each before
-- which versions are missing, its number and the version that was there (0 for none). Fails with REWOUND,
-- having done nothing, when the source stands elsewhere than expected.

local HAS_ENTRIES = '*'

-- Versions stay below 2^53, up to where a Lua number is exact; as text, 10 would come before 9.
-- What begins with no version is older than anything.
local function head(value)
    local version, mark = string.match(value, '^(%d+)(.)')
    return tonumber(version) or 0, mark
end

local function enter(entries, tag)
    for index, member in string.gmatch(entries, '([^\1]+)\1([^\2]*)\2') do
        redis.call('ZADD', tag .. index, 0, member)
    end
end

local function withdraw(entries, tag)
    for index, member in string.gmatch(entries, '([^\1]+)\1([^\2]*)\2') do
        redis.call('ZREM', tag .. index, member)
    end
end

-- Tell whether a level that was put without its changes is newer than what the feed has told of it.
local function is_ahead_of_feed(keys, name, version)
    local told = tonumber(redis.call('HGET', keys[4], name) or 0)
    if told > 0 and told <= version then
        redis.call('HDEL', keys[4], name)
    end
    return version > told
end

local function apply(keys, args)
    local source, expected, offset = args[1], args[2], args[3]
    local held = source == '' and expected or redis.call('HGET', keys[1], source) or ''
    if held ~= expected then
        return redis.error_reply(
            "REWOUND " .. keys[1] .. " holds offset '" .. held .. "' where '" .. expected .. "' was left"
        )
    end
    local tag = string.match(keys[1], '^.*:')
    local changes, applied, gaps = tonumber(args[4]), 0, {}
    if source ~= '' then
        tell(keys, 5 + changes, args, 5 + 5 * changes, source, held, offset)
    end
    local levels, jumped = tag .. 'levels:', false
    local unfinished = source == '' and redis.call('EXISTS', keys[4]) == 1
    for i = 1, changes do
        local key, at = keys[4 + i], 5 * i
        local field, value, entries, follows = args[at], args[at + 1], args[at + 3], tonumber(args[at + 4])
        local version = head(value)
        local current, mark = redis.call('HGET', key, field), ' '
        local known = 0
        if current then
            known, mark = head(current)
        end
        if version > known then
            if follows and follows > known then
                gaps[#gaps + 1] = i
                gaps[#gaps + 1] = known
            end
            if source == '' and string.find(key, levels, 1, true) == 1 then
                jumped = not unfinished or is_ahead_of_feed(keys, key .. '\0' .. field, version) or jumped
            end
            redis.call('HSET', key, field, value)
            if not current then
                enter(args[at + 2], tag)
            end
            if entries ~= '' or mark == HAS_ENTRIES then
                local name = key .. '\0' .. field
                local former = redis.call('HGET', keys[2], name) or ''
                if former ~= entries then
                    withdraw(former, tag)
                    enter(entries, tag)
                    if entries == '' then
                        redis.call('HDEL', keys[2], name)
                    else
                        redis.call('HSET', keys[2], name, entries)
                    end
                end
            end
            applied = applied + 1
        end
    end
    if source ~= '' then
        redis.call('HSET', keys[1], source, offset)
    elseif jumped then
        break_feed_here(keys[1], keys[3])
    end
    return { applied, changes - applied, gaps }
end

-- Put a row in the place of what was seen there.
--
-- KEYS: the bucket's hash of entries, the hash that the row belongs to, the bucket's hash of offsets, its feed.
-- ARGV: the row's field; the value that was seen ('' for none); the value to put ('' to take it away); the
--       entries that what was seen has for ever; and those that the row has for ever, and for now.
-- Returns 1, or 0, having done nothing, when something else is there.
local function replace(keys, args)
    local field, seen, value, former, kept, entries = unpack(args)
    if (redis.call('HGET', keys[2], field) or '') ~= seen then
        return 0
    end
    local tag, name = string.match(keys[1], '^.*:'), keys[2] .. '\0' .. field
    if string.find(keys[2], tag .. 'levels:', 1, true) == 1 and version_in(value) > version_in(seen) then
        break_feed_here(keys[3], keys[4])
    end
    withdraw(former .. (redis.call('HGET', keys[1], name) or ''), tag)
    if value == '' then
        redis.call('HDEL', keys[2], field)
    else
        redis.call('HSET', keys[2], field, value)
        enter(kept .. entries, tag)
    end
    if entries == '' then
        redis.call('HDEL', keys[1], name)
    else
        redis.call('HSET', keys[1], name, entries)
    end
    return 1
end

redis.register_function(LIBRARY, apply)
redis.register_function(LIBRARY .. '_replace', replace)
