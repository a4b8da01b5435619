-- Take what is newer, and record how far the source has been read: one step, in one slot.
--
-- KEYS: the bucket's hash of offsets, then for each change the hash it belongs to.
-- ARGV: the source, the offset it must stand at ('' for none), the offset to record,
--       then for each change its field and its value, which begins with its version in decimal.
-- Returns how many changes were applied and how many were not newer than what is there. Fails with
-- REWOUND, having done nothing, when the source stands elsewhere than expected.

-- Versions stay below 2^53, up to where a Lua number is exact; as text, 10 would come before 9.
local function version(value)
    return tonumber(string.match(value, '^%d+'))
end

local function apply(keys, args)
    local source, expected, offset = args[1], args[2], args[3]
    local held = redis.call('HGET', keys[1], source) or ''
    if held ~= expected then
        return redis.error_reply(
            "REWOUND " .. keys[1] .. " holds offset '" .. held .. "' where '" .. expected .. "' was left"
        )
    end
    local applied = 0
    for i = 2, #keys do
        local key, field, value = keys[i], args[2 * i], args[2 * i + 1]
        local current = redis.call('HGET', key, field)
        if not current or version(value) > version(current) then
            redis.call('HSET', key, field, value)
            applied = applied + 1
        end
    end
    redis.call('HSET', keys[1], source, offset)
    return { applied, #keys - 1 - applied }
end

redis.register_function(LIBRARY, apply)
