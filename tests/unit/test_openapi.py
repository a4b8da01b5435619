"""The OpenAPI document is one, and tells of every call that JSON can make."""

from __future__ import annotations

import json
from pathlib import Path

from openapi_spec_validator import validate

from serving.access import ACCESS, role_name
from serving.contracts import ROUTES

DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())


def test_it_is_valid() -> None:
    validate(DOCUMENT)


def test_it_tells_of_every_route_and_who_may_call() -> None:
    for verb, address, method in ROUTES:
        told = DOCUMENT["paths"][address][verb]
        assert set(told["x-roles"]) == set(map(role_name, ACCESS[method].roles)), method
        assert told["description"], method
