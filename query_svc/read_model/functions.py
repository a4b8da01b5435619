"""The function library of the read model in Redis: its code, its name, its loading."""

from hashlib import sha256
from importlib.resources import files
from typing import cast

from redis.asyncio import Redis

from query_svc.read_model.errors import translated

_BODY = files(__package__).joinpath("functions.lua").read_text()

# Named after its code: an old and a new projector beside each other each have their own, and what is
# loaded under a name never changes.
APPLY = f"inventory_apply_{sha256(_BODY.encode()).hexdigest()[:12]}"
"""The name of the library and of its one function; its contract is in functions.lua."""

_CODE = f"#!lua name={APPLY}\nlocal LIBRARY = '{APPLY}'\n{_BODY}"


async def load(redis: Redis) -> None:
    """Load the library unless it is there. Raise ReadModelUnavailableError when Redis does not answer."""
    with translated():
        if not cast("list[object]", await redis.function_list(APPLY)):
            await redis.function_load(_CODE, replace=True)
