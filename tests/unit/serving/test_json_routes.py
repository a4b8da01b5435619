"""Every call that JSON can make has one route over HTTP, and each route leads to one call."""

from __future__ import annotations

import re
from collections import Counter

from google.api import annotations_pb2

from serving.contracts import METHODS, ROUTES


def test_every_method_has_a_route_but_those_whose_caller_streams() -> None:
    without = METHODS.keys() - {route.method for route in ROUTES}

    assert without == {path for path, method in METHODS.items() if method.client_streaming}


def test_no_two_methods_have_the_same_route() -> None:
    shapes = Counter((route.verb, re.sub(r"\{[^}]*\}", "*", route.address)) for route in ROUTES)

    assert [shape for shape, count in shapes.items() if count > 1] == []


def test_what_stands_in_a_path_is_a_text_of_the_request() -> None:
    for _, address, method in ROUTES:
        for name in re.findall(r"\{([^}]*)\}", address):
            assert METHODS[method].input_type.fields_by_name[name].cpp_type == 9, (method, name)


def test_what_only_reads_by_its_address_is_a_get_and_the_rest_has_a_body() -> None:
    for verb, _, method in ROUTES:
        rule = METHODS[method].GetOptions().Extensions[annotations_pb2.http]
        assert rule.body == ("" if verb == "get" else "*"), method
        if ".command." in method:
            assert verb in {"post", "patch"}, method
