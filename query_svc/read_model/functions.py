"""The function libraries of the read model in Redis: their code, their names, their loading."""

from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Any

from redis.exceptions import ResponseError

from query_svc.read_model.errors import translated
from query_svc.read_model.keys import Keys
from query_svc.read_model.line import Command, Line
from query_svc.read_model.rows import Row

_CODES: dict[str, str] = {}


def _library(kind: str, *names: str) -> str:
    """Return the name of the library in some files, one after the other, and of its one function.

    Named after its code: an old and a new projector beside each other each have their own, and what is
    loaded under a name never changes.
    """
    body = "".join(files(__package__).joinpath(file).read_text() for file in names)
    name = f"inventory_{kind}_{sha256(body.encode()).hexdigest()[:12]}"
    _CODES[name] = f"#!lua name={name}\nlocal LIBRARY = '{name}'\n{body}"
    return name


APPLY = _library("apply", "feed.lua", "functions.lua")
"""Takes what is newer; its contract is in functions.lua."""

REPLACE = f"{APPLY}_replace"
"""Puts a row in the place of another, of the same library."""

MARK = _library("mark", "marks.lua")
"""Marks transactions as applied; its contract is in marks.lua."""


async def load(line: Line) -> None:
    """Load the libraries where they are not. Raise ReadModelUnavailableError when Redis does not answer."""
    for server in await line.servers():
        listed = await server.ask([("FUNCTION", "LIST", "LIBRARYNAME", name) for name in _CODES])
        missing = [code for code, found in zip(_CODES.values(), listed, strict=True) if not found]
        for answer in (*listed, *await server.ask([("FUNCTION", "LOAD", "REPLACE", one) for one in missing])):
            with translated():
                if isinstance(answer, ResponseError):
                    raise answer


async def call(line: Line, commands: Sequence[Command]) -> list[Any]:
    """Return the answers of functions, which are loaded where Redis does not have them."""
    try:
        return await line.ask(commands)
    except ResponseError as error:
        if not str(error).startswith("Function not found"):
            raise
    await load(line)
    return await line.ask(commands)


def replacement(keys: Keys, row: Row, seen: bytes, value: bytes, former: str) -> Command:
    """Return the call of REPLACE that puts `value`, with the row's entries, in the place of what was seen.

    `former` are entries to take away; those that the next version would end go by themselves.
    """
    called = [keys.entries(row.bucket), row.key, keys.offsets(row.bucket), keys.feed(row.bucket)]
    return ("FCALL", REPLACE, len(called), *called, row.field, seen, value, former, row.kept, row.current)
