"""The schemas of the public events in the registry, and the framing that names them in every record.

Each topic has a subject of its own, `TOPIC-value`, and each file that a contract imports one by its path.
All are BACKWARD: whoever knows a new schema reads what was written with the ones before it.
"""

import base64
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import quote

import httpx
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

TIMEOUT_SECONDS = 15.0
_BACKWARD = {"compatibility": "BACKWARD"}


class RegistryUnavailableError(Exception):
    """The registry does not answer, or answers that it cannot."""


class IncompatibleSchemaError(Exception):
    """The registry holds an earlier schema whose records this one could not read."""


class SchemaRegistry:
    """Registers protobuf files. A context manager; `url` is the base of a Confluent-compatible interface."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False)
        self._versions: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def enforce(self) -> None:
        """Make BACKWARD the rule of each subject without one. Raise RegistryUnavailableError."""
        self._ask("PUT", "/config", _BACKWARD)

    def register(self, subject: str, file: FileDescriptor) -> int:
        """Register a file, and before it all that it imports; return its id, the same every time.

        Raise IncompatibleSchemaError and RegistryUnavailableError.
        """
        schema = {
            "schemaType": "PROTOBUF",
            "schema": base64.b64encode(_content(file)).decode(),
            "references": [
                {"name": one.name, "subject": one.name, "version": self._version(one)}
                for one in file.dependencies
                # Those every registry knows.
                if not one.name.startswith("google/protobuf/")
            ],
        }
        path = f"/subjects/{quote(subject, safe='')}"
        number = self._ask("POST", f"{path}/versions", schema)["id"]
        self._ask("PUT", f"/config/{quote(subject, safe='')}", _BACKWARD)
        self._versions[subject] = int(self._ask("POST", path, schema)["version"])
        return int(number)

    def _version(self, file: FileDescriptor) -> int:
        if file.name not in self._versions:
            self.register(file.name, file)
        return self._versions[file.name]

    def _ask(self, method: str, path: str, body: Mapping[str, object]) -> dict[str, int]:
        try:
            answer = self._client.request(method, path, json=body)
            if answer.status_code == httpx.codes.CONFLICT:
                raise IncompatibleSchemaError(answer.text[:1000])
            found: dict[str, int] = answer.raise_for_status().json()
        except httpx.HTTPError as error:
            raise RegistryUnavailableError(f"{method} {path}: {error}") from error
        return found


def frame(schema_id: int) -> bytes:
    """Return what a record begins with, when its message is the first of the file of that schema."""
    return b"\0" + schema_id.to_bytes(4, "big") + b"\0"


def _content(file: FileDescriptor) -> bytes:
    content = FileDescriptorProto()
    file.CopyToProto(content)
    return content.SerializeToString(deterministic=True)
