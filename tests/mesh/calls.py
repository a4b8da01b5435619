"""Calls by any method of the contracts: what comes of them at the door, not what is in the answer.

`python -m tests.mesh.calls ADDRESS` makes calls where it runs, such as inside a pod: one JSON object a line
of standard input, one outcome a line of standard output.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import grpc

SECONDS = 10.0
REFUSED_BY_MESH = "RBAC: access denied"


class Outcome(NamedTuple):
    """How a call has ended: the name of its status, and its message."""

    status: str
    message: str

    @property
    def refused_by_mesh(self) -> bool:
        """Whether it was a proxy that did not let the caller in."""
        return self == Outcome("PERMISSION_DENIED", REFUSED_BY_MESH)


def call(
    channel: grpc.Channel,
    method: str,
    *,
    metadata: Sequence[tuple[str, str]] = (),
    request: bytes = b"",
    seconds: float = SECONDS,
) -> Outcome:
    """Call a method, by its full path, with one message; the first answer is taken for success."""
    # On the wire every kind of method is a stream of messages each way.
    stream = channel.stream_stream(method, request_serializer=bytes, response_deserializer=bytes)
    answers = stream(iter([request]), metadata=tuple(metadata), timeout=seconds)
    try:
        next(answers, None)
    except grpc.RpcError as error:
        return Outcome(error.code().name, error.details() or "")
    answers.cancel()
    return Outcome("OK", "")


class Inside:
    """Makes calls from within a pod; a context manager."""

    def __init__(self, network: str, address: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603
            ["ip", "netns", "exec", network, sys.executable, "-m", "tests.mesh.calls", address],  # noqa: S607
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent.parent,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def call(self, method: str, *, metadata: Sequence[tuple[str, str]] = (), request: bytes = b"") -> Outcome:
        """Call a method from there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"method": method, "metadata": list(metadata), "request": request.hex()}
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        return Outcome(*json.loads(self._process.stdout.readline()))


def main() -> None:
    """Make the calls that standard input names."""
    with grpc.insecure_channel(sys.argv[1]) as channel:
        for line in sys.stdin:
            asked = json.loads(line)
            metadata = [(key, value) for key, value in asked["metadata"]]
            outcome = call(
                channel, asked["method"], metadata=metadata, request=bytes.fromhex(asked["request"])
            )
            print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
