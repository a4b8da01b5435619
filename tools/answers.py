"""What a proxy answers by itself, in each way in, as the mappers of Envoy's local_reply_config."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import quote

from google.protobuf import json_format

from serving.errors import DETAILS_KEY, CallError
from stack.limits import EXTENSIONS

Filter = dict[str, Any]
Mapper = dict[str, Any]


class Answer(NamedTuple):
    """An error, and the signs by which an answer of Envoy's own is known to be it: all of them.

    `status` is the one of HTTP where it is not to be Envoy's. `quotes`: to a caller of JSON, the message is
    what Envoy says.
    """

    signs: Sequence[Filter]
    error: CallError
    status: HTTPStatus | None = None
    quotes: bool = False


def every_way(answers: Sequence[Answer]) -> list[Mapper]:
    """Return what answers to callers of JSON, of gRPC-Web and of gRPC; of the answers, the first that fits.

    Envoy decides when a request begins whether it is gRPC. To others it would say a line of text.
    """
    return [*map(_by_json, answers), *map(_by_web, answers), *by_grpc(answers)]


def by_grpc(answers: Iterable[Answer]) -> list[Mapper]:
    """Return what answers where all callers speak gRPC."""
    return [
        _mapper(answer, answer.signs, {**_details(answer.error), "grpc-status": _code(answer.error)})
        for answer in answers
    ]


def _by_json(answer: Answer) -> Mapper:
    """Return what answers with the status as the body, details and all."""
    # The transcoder leaves this; what a caller says in it is taken away before.
    transcoded = header("x-envoy-original-path", present_match=True)
    other = header("content-type", string_match={"prefix": "application/grpc"}, invert_match=True)
    signs = [{"or_filter": {"filters": [transcoded, other]}}, *answer.signs]
    headers = _details(answer.error)
    if answer.error.retry_after is not None:
        headers["retry-after"] = str(math.ceil(answer.error.retry_after))
    body = json_format.MessageToDict(answer.error.to_status())
    if answer.quotes:
        body["message"] = "%LOCAL_REPLY_BODY%"
    # What stands in a map has no order of its own.
    ordered = json.loads(json.dumps(body, sort_keys=True))
    made = _mapper(answer, signs, headers)
    if answer.quotes:
        del made["body"]
    return made | {"body_format_override": {"json_format": ordered, "content_type": "application/json"}}


def _by_web(answer: Answer) -> Mapper:
    """Return what answers with trailers in the place of headers, as gRPC-Web has it."""
    status = answer.error.to_status()
    told = {"grpc-status": _code(answer.error), "grpc-message": quote(status.message, safe=" '/:,")}
    signs = [header("x-grpc-web", present_match=True), *answer.signs]
    made = _mapper(answer, signs, {**_details(answer.error), **told})
    return made | {
        "status_code": int(HTTPStatus.OK),
        "body": {"inline_string": ""},
        "body_format_override": {
            "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"},
            "content_type": "application/grpc-web+proto",
        },
    }


def _mapper(answer: Answer, signs: Sequence[Filter], headers: dict[str, str]) -> Mapper:
    made: Mapper = {
        "filter": {"and_filter": {"filters": [*signs]}} if len(signs) > 1 else signs[0],
        "body": {"inline_string": answer.error.message},
        "headers_to_add": [
            {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for key, value in headers.items()
        ],
    }
    return made if answer.status is None else made | {"status_code": int(answer.status)}


def _details(error: CallError) -> dict[str, str]:
    return {DETAILS_KEY: base64.b64encode(error.to_status().SerializeToString(deterministic=True)).decode()}


def _code(error: CallError) -> str:
    return str(error.code.value[0])


def told(text: str) -> Filter:
    """Return the sign of an answer, the reason for which has a text in it."""
    return {
        "extension_filter": {
            "name": "envoy.access_loggers.extension_filters.cel",
            "typed_config": {
                "@type": f"{EXTENSIONS}.access_loggers.filters.cel.v3.ExpressionFilter",
                "expression": f"response.code_details.contains('{text}')",
            },
        }
    }


def flag(name: str) -> Filter:
    """Return the sign of an answer with one of Envoy's response flags."""
    return {"response_flag_filter": {"flags": [name]}}


def status(code: HTTPStatus, op: str = "EQ") -> Filter:
    """Return the sign of an answer with a status of HTTP; by `op` "GE", of those above it, too."""
    # Every comparison of Envoy has a key to change it by at run time: nobody does.
    comparison = {"op": op, "value": {"default_value": int(code), "runtime_key": "inventory.unused"}}
    return {"status_code_filter": {"comparison": comparison}}


def header(name: str, **match: Any) -> Filter:  # noqa: ANN401 - as Envoy's HeaderMatcher has it
    """Return the sign of an answer to a request with such a header."""
    if "string_match" in match:
        match["treat_missing_header_as_empty"] = True
    return {"header_filter": {"header": {"name": name, **match}}}
