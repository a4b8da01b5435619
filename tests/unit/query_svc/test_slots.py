"""Where keys lie, as Redis itself says (CLUSTER KEYSLOT)."""

from __future__ import annotations

import pytest

from query_svc.read_model.slots import Node, key_slot, nodes_of, slot_of


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        ("foo", 12182),
        (b"foo", 12182),
        ("g1:{foo}:levels:A{b}", 12182),
        ("{}foo", key_slot(b"{}foo")),
        ("123456789", 12739),
    ],
)
def test_the_slot_of_a_key(key: str | bytes, slot: int) -> None:
    assert key_slot(key) == slot


def test_an_empty_or_open_tag_is_none() -> None:
    assert key_slot("{}a") != key_slot("{}b")
    assert key_slot("{a") != key_slot("{b")


def test_the_slot_of_a_command_is_that_of_its_first_key() -> None:
    assert slot_of(("HGET", "foo", "x")) == 12182
    assert slot_of(("FCALL", "name", 2, "foo", "bar", "x")) == 12182
    assert slot_of(("XREAD", "BLOCK", 5, "COUNT", 1, "STREAMS", "foo", "0")) == 12182
    assert slot_of(("PING",)) is None
    assert slot_of(("EVAL", "return 1", 0)) is None


def test_the_nodes_of_the_slots() -> None:
    answer = [
        [0, 1, [b"10.0.0.1", 7000, b"id", {}], [b"10.0.0.9", 7009, b"replica"]],
        [3, 16383, [b"", 7001, b"id"]],
    ]
    nodes = nodes_of(answer, "seed")
    assert nodes[:4] == [Node("10.0.0.1", 7000), Node("10.0.0.1", 7000), None, Node("seed", 7001)]
    assert nodes[16383] == Node("seed", 7001)
