"""Every rule that a contract states is checked: its breach is told by the path of the field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

import protovalidate
import pytest
from google.protobuf.descriptor import Descriptor

from buf.validate.validate_pb2 import FieldRules
from buf.validate.validate_pb2 import field as field_rules
from buf.validate.validate_pb2 import message as message_rules
from buf.validate.validate_pb2 import oneof as oneof_rules
from tests.unit.command_svc.memory_store import MemoryStore
from tests.unit.command_svc.services.broken import CASES
from tests.unit.command_svc.services.calling import Commands, refusal
from tests.unit.command_svc.services.good import CONTRACTS, GOOD, Fields, build


@pytest.mark.parametrize(
    ("rpc", "change", "field"),
    CASES,
    ids=[f"{number}-{rpc}-{next(iter(change))}" for number, (rpc, change, _) in enumerate(CASES)],
)
async def test_a_broken_rule_is_refused_by_the_path_of_its_field_and_writes_nothing(
    commands: Commands, store: MemoryStore, rpc: str, change: Fields, field: str
) -> None:
    refused = await refusal(commands.call(rpc, build(rpc, change)))
    assert (refused.code, refused.domain, refused.reason) == (3, "inventory", "INVALID_FIELD")
    assert refused.fields == {field}
    assert refused.metadata == {"field": field}
    assert store.transactions == 0


@pytest.mark.parametrize("rpc", GOOD)
@pytest.mark.parametrize("actor", ["", " ", "a b", "-a", "a" * 129, "a\\b"])
async def test_a_malformed_actor_is_refused(
    commands: Commands, store: MemoryStore, rpc: str, actor: str
) -> None:
    refused = await refusal(commands.call(rpc, build(rpc), actor=actor))
    assert (refused.code, refused.reason) == (3, "INVALID_FIELD")
    assert refused.fields == {"x-inventory-actor"}
    assert store.transactions == 0


async def test_every_broken_rule_is_named_at_once(commands: Commands) -> None:
    bad: Fields = {"sku": "a b", "location_id": None, "quantity": -1, "reason": 0, "reference": "\0"}
    refused = await refusal(commands.do("AddStock", **bad))
    assert refused.fields == {"sku", "location_id", "quantity", "reason", "reference"}


def test_every_rpc_has_a_good_request_and_no_rule_of_any_is_left_unbroken() -> None:
    rpcs = {
        method.name
        for contract in CONTRACTS
        for service in contract.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert set(GOOD) == rpcs
    tried = {(rpc, re.sub(r"\[[^\]]*\]", "", field)) for rpc, _, field in CASES}
    untried = {
        (rpc, path)
        for rpc, (kind, _) in GOOD.items()
        for path in _ruled(cast("Descriptor", kind.DESCRIPTOR))
        if (rpc, path) not in tried
    }
    assert not untried


def test_every_rule_over_several_fields_is_broken_by_a_case() -> None:
    validator = protovalidate.Validator()
    broken = {
        (rpc, violation.proto.rule_id)
        for rpc, change, _ in CASES
        for violation in validator.collect_violations(build(rpc, change))
    }
    stated = {
        (rpc, rule) for rpc, (kind, _) in GOOD.items() for rule in _cel(cast("Descriptor", kind.DESCRIPTOR))
    }
    assert not stated - broken
    assert len(stated) > len(GOOD)


def _ruled(message: Descriptor, prefix: str = "") -> Iterator[str]:
    """Yield the path of each field that has a rule, and of each time, whose rule is in words."""
    for one in message.fields:
        path = f"{prefix}{one.name}"
        kind = one.message_type
        rules: FieldRules = one.GetOptions().Extensions[field_rules]
        is_time = kind is not None and kind.full_name == "google.protobuf.Timestamp"
        if is_time or one.GetOptions().HasExtension(field_rules):
            yield path
        if kind is not None and _is_ours(kind) and not rules.repeated.items.ignore:
            yield from _ruled(kind, f"{path}.")
    for oneof in message.oneofs:
        if oneof.GetOptions().HasExtension(oneof_rules):
            yield f"{prefix}{oneof.name}"


def _cel(message: Descriptor) -> Iterator[str]:
    """Yield the ids of the rules that are written in words of CEL."""
    yield from (rule.id for rule in message.GetOptions().Extensions[message_rules].cel)
    for one in message.fields:
        rules: FieldRules = one.GetOptions().Extensions[field_rules]
        yield from (rule.id for rule in rules.cel)
        kind = one.message_type
        if kind is not None and _is_ours(kind) and not rules.repeated.items.ignore:
            yield from _cel(kind)


def _is_ours(kind: Descriptor) -> bool:
    return kind.full_name.startswith("inventory.")
