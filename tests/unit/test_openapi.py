"""The OpenAPI document is one, and tells of every call that JSON can make."""

from __future__ import annotations

import json
from pathlib import Path

from google.api import annotations_pb2
from openapi_spec_validator import validate

from serving.access import ACCESS, role_name
from serving.contracts import SERVICES

DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())


def test_it_is_valid() -> None:
    validate(DOCUMENT)


def test_it_tells_of_every_route_and_who_may_call() -> None:
    for service in SERVICES:
        for method in service.methods:
            rule = method.GetOptions().Extensions[annotations_pb2.http]
            verb = rule.WhichOneof("pattern")
            if verb:
                told = DOCUMENT["paths"][getattr(rule, verb)][verb]
                roles = ACCESS[f"/{service.full_name}/{method.name}"].roles
                assert set(told["x-roles"]) == set(map(role_name, roles)), method.full_name
                assert told["description"], method.full_name
