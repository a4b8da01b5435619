"""Every call that JSON can make has one route over HTTP, and each route leads to one call."""

from __future__ import annotations

import re
from collections import Counter

from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor import MethodDescriptor

from serving.contracts import SERVICES

METHODS = [method for service in SERVICES for method in service.methods]


def rule(method: MethodDescriptor) -> HttpRule:
    return method.GetOptions().Extensions[annotations_pb2.http]


def route(method: MethodDescriptor) -> tuple[str, str]:
    """Return verb and path of a method."""
    verb = rule(method).WhichOneof("pattern") or ""
    return verb, getattr(rule(method), verb, "")


def test_every_method_has_a_route_but_those_whose_caller_streams() -> None:
    without = {method.name for method in METHODS if not route(method)[1]}

    assert without == {method.name for method in METHODS if method.client_streaming}


def test_no_two_methods_have_the_same_route() -> None:
    shapes = Counter((verb, re.sub(r"\{[^}]*\}", "*", path)) for verb, path in map(route, METHODS) if path)

    assert [shape for shape, count in shapes.items() if count > 1] == []


def test_what_stands_in_a_path_is_a_text_of_the_request() -> None:
    for method in METHODS:
        for name in re.findall(r"\{([^}]*)\}", route(method)[1]):
            assert method.input_type.fields_by_name[name].cpp_type == 9, (method.full_name, name)


def test_what_only_reads_by_its_address_is_a_get_and_the_rest_has_a_body() -> None:
    for method in METHODS:
        verb, path = route(method)
        if path:
            assert rule(method).body == ("" if verb == "get" else "*"), method.full_name
            if ".command." in method.full_name:
                assert verb in {"post", "patch"}, method.full_name
