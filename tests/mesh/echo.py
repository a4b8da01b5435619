"""A service that takes every call, answers nothing, and says on standard output what came with it.

`python -m tests.mesh.echo ADDRESS`: one JSON object a line, the metadata of a call.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc


class Echo(grpc.GenericRpcHandler):
    """Serves every method, but health: it is told apart from what a test has sent."""

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Return what serves a call."""
        told = {key: str(value) for key, value in call.invocation_metadata}
        print(json.dumps({":path": call.method, **told}), flush=True)
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"")


def main() -> None:
    """Serve until it is ended."""
    server = grpc.server(ThreadPoolExecutor(2), handlers=[Echo()])
    server.add_insecure_port(sys.argv[1])
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
