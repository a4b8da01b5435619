-- Mark transactions as applied, and record how far their source has been: one step, in one slot.
--
-- KEYS: the hash of positions, the stream of marks.
-- ARGV: the source, the offset it must stand at ('' for none), the offset to record, the milliseconds since
--       1970 up to which the view holds everything (0 if that is not known), how many of them to keep
--       marks for, and the transactions' ids, 16 bytes each.
-- A view that is being filled has a goal among the positions, and is whole once the offset has reached it.
-- Marks are numbered by what the view holds, which never moves back, so that what is kept of them does not
-- depend on how fast they come. Fails with REWOUND, having done nothing, when the source stands elsewhere
-- than expected.

local function mark(keys, args)
    local source, expected, offset = args[1], args[2], args[3]
    local held = redis.call('HGET', keys[1], source) or ''
    if held ~= expected then
        return redis.error_reply(
            "REWOUND " .. keys[1] .. " holds offset '" .. held .. "' where '" .. expected .. "' was left"
        )
    end
    local goal = redis.call('HGET', keys[1], source .. ':goal')
    local whole = not goal or tonumber(offset) >= tonumber(goal)
    if goal and whole then
        redis.call('HDEL', keys[1], source .. ':goal')
    end
    local reached = math.max(tonumber(args[4]), tonumber(redis.call('HGET', keys[1], 'as_of') or '0'))
    local text = string.format('%.0f', reached)
    redis.call('HSET', keys[1], source, offset, 'as_of', text)
    redis.call(
        'XADD', keys[2], 'MINID', '~', string.format('%.0f', math.max(0, reached - tonumber(args[5]))),
        text .. '-*', 'whole', whole and '1' or '0', 'ids', args[6]
    )
    return redis.status_reply('OK')
end

redis.register_function(LIBRARY, mark)
