"""A page token comes back as it was made, for the same question alone."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.query.v1 import catalog_query_service_pb2 as catalog
from inventory.query.v1 import stock_query_service_pb2 as stock
from inventory.query.v1.consistency_pb2 import Consistency
from inventory.type.v1 import error_reason_pb2
from query_svc import page_tokens
from serving.errors import CallError

QUESTION = stock.GetStockHistoryRequest(sku="MUG-1", page_size=10)
KINDS = (int, str, int)
NUMBERS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(max_size=64)


def refused(token: str, question: stock.GetStockHistoryRequest = QUESTION) -> bool:
    try:
        page_tokens.decode(token, question, KINDS)
    except CallError as error:
        expected = (error_reason_pb2.ERROR_REASON_INVALID_PAGE_TOKEN, {"page_token": token})
        return (error.reason, error.metadata) == expected
    return False


@given(NUMBERS, TEXTS, NUMBERS)
def test_what_is_encoded_is_decoded(time: int, place: str, version: int) -> None:
    token = page_tokens.encode((time, place, version), QUESTION)
    assert page_tokens.decode(token, QUESTION, KINDS) == [time, place, version]


def test_the_longest_token_is_one_the_contracts_take() -> None:
    longest = "ж" * (page_tokens.MAX_TEXT_BYTES // 2)
    assert len(page_tokens.encode((longest, "L" * 64), catalog.ListLocationsRequest())) <= 512
    with pytest.raises(ValueError, match="too long"):
        page_tokens.encode((longest + "ж",), QUESTION)


def test_another_page_size_is_the_same_question() -> None:
    token = page_tokens.encode((1, "WH-1", 2), QUESTION)
    again = stock.GetStockHistoryRequest(sku="MUG-1", page_size=500, page_token=token)
    assert page_tokens.decode(token, again, KINDS) == [1, "WH-1", 2]


@pytest.mark.parametrize(
    "other",
    [
        stock.GetStockHistoryRequest(sku="MUG-2"),
        stock.GetStockHistoryRequest(sku="MUG-1", location_id="WH-1"),
        stock.GetStockHistoryRequest(sku="MUG-1", order_by=stock.HISTORY_ORDER_OLDEST_FIRST),
    ],
)
def test_a_token_of_another_question_is_refused(other: stock.GetStockHistoryRequest) -> None:
    assert refused(page_tokens.encode((1, "WH-1", 2), QUESTION), other)


def test_a_token_of_another_list_is_refused() -> None:
    """Even where both requests look the same on the wire."""
    assert refused(
        page_tokens.encode((1, "WH-1", 2), catalog.ListLocationsRequest()), stock.GetStockHistoryRequest()
    )


@given(st.text(max_size=200) | st.binary(max_size=100).map(lambda b: base64.urlsafe_b64encode(b).decode()))
def test_anything_else_is_refused(token: str) -> None:
    assert refused(token)


@given(st.data())
def test_a_changed_token_is_refused(data: st.DataObject) -> None:
    token = page_tokens.encode((1, "WH-1", 2), QUESTION)
    place = data.draw(st.integers(0, len(token) - 2))
    letter = data.draw(st.sampled_from("ABZaz09-_").filter(lambda letter: letter != token[place]))
    assert refused(token[:place] + letter + token[place + 1 :])


@pytest.mark.parametrize("position", [(1, "WH-1"), (1, "WH-1", 2, 3), ("WH-1", 1, 2), ()])
def test_a_position_of_another_form_is_refused(position: tuple[str | int, ...]) -> None:
    assert refused(page_tokens.encode(position, QUESTION))


def test_another_page_may_be_asked_to_be_fresher() -> None:
    question = catalog.ListLocationsRequest(page_size=1)
    token = page_tokens.encode(["", "WH-1"], question)
    fresher = catalog.ListLocationsRequest(consistency=Consistency(fully_consistent=True))
    assert page_tokens.decode(token, fresher, (str, str)) == ["", "WH-1"]
