"""The next release, in which an item has a colour: its contracts, and our programs as they would run by them.

`python -m tests.later PROGRAM ARGUMENT…` runs a program, `cdc` or `query_svc`, by the later contracts.
"""

from __future__ import annotations

import runpy
import sys

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

NUMBER = 1000
"""The number of the new field."""


def later_of(descriptor: Descriptor) -> type[Message]:
    """Return a message as the later contracts have it."""
    pool = DescriptorPool()

    def add(name: str) -> None:
        file = FileDescriptorProto()
        descriptor.file.pool.FindFileByName(name).CopyToProto(file)
        for dependency in file.dependency:
            add(dependency)
        _add_colour(file)
        pool.Add(file)

    add(descriptor.file.name)
    return GetMessageClass(pool.FindMessageTypeByName(descriptor.full_name))


def _add_colour(file: FileDescriptorProto) -> None:
    for message in file.message_type:
        if (file.package, message.name) == ("inventory.type.v1", "Item"):
            message.field.add(
                name="colour",
                number=NUMBER,
                type=FieldDescriptorProto.TYPE_STRING,
                label=FieldDescriptorProto.LABEL_OPTIONAL,
            )


class _LaterPool:
    """The default pool, into which generated code puts the contracts: it gets the later ones."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool

    def AddSerializedFile(self, content: bytes) -> object:  # noqa: N802 - as the pool has it
        """Add a file."""
        file = FileDescriptorProto.FromString(content)
        _add_colour(file)
        return self._pool.AddSerializedFile(file.SerializeToString())

    def __getattr__(self, name: str) -> object:
        return getattr(self._pool, name)


def main() -> None:
    """Run the program that the arguments name."""
    later = _LaterPool(descriptor_pool.Default())
    descriptor_pool.Default = lambda: later  # type: ignore[assignment,return-value] # all that is asked of it
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
