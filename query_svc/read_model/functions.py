"""The function libraries of the read model in Redis: their code, their names, their loading."""

from hashlib import sha256
from importlib.resources import files
from typing import cast

from redis.asyncio import Redis

from query_svc.read_model.errors import translated

_CODES: dict[str, str] = {}


def _library(kind: str, file: str) -> str:
    """Return the name of the library in `file` and of its one function.

    Named after its code: an old and a new projector beside each other each have their own, and what is
    loaded under a name never changes.
    """
    body = files(__package__).joinpath(file).read_text()
    name = f"inventory_{kind}_{sha256(body.encode()).hexdigest()[:12]}"
    _CODES[name] = f"#!lua name={name}\nlocal LIBRARY = '{name}'\n{body}"
    return name


APPLY = _library("apply", "functions.lua")
"""Takes what is newer; its contract is in functions.lua."""

REPLACE = f"{APPLY}_replace"
"""Puts a row in the place of another, of the same library."""

MARK = _library("mark", "marks.lua")
"""Marks transactions as applied; its contract is in marks.lua."""


async def load(redis: Redis) -> None:
    """Load the libraries that are not there. Raise ReadModelUnavailableError when Redis does not answer."""
    with translated():
        for name, code in _CODES.items():
            if not cast("list[object]", await redis.function_list(name)):
                await redis.function_load(code, replace=True)
