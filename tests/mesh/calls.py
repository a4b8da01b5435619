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
from typing import Any, NamedTuple, Self

import grpc
from google.rpc import error_details_pb2, status_pb2

SECONDS = 10.0


class Outcome(NamedTuple):
    """How a call has ended: the name of its status, its message, and the reason in its details."""

    status: str
    message: str
    reason: str = ""


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
        return Outcome(error.code().name, error.details() or "", _reason(error))
    answers.cancel()
    return Outcome("OK", "")


def _reason(error: grpc.RpcError) -> str:
    info = error_details_pb2.ErrorInfo()
    trailers: Any = error.trailing_metadata() or ()
    packed = dict(trailers).get("grpc-status-details-bin", b"")
    for detail in status_pb2.Status.FromString(packed).details:
        if detail.Unpack(info):
            return str(info.reason)
    return ""


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
