"""Request ids, scopes, the catalogue, and the refusals with their figures."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from command_svc.domain import refusals
from command_svc.domain.allocation import Terms, WantedLine
from command_svc.domain.batch import AtomicRefusalError, Stamp, Submission, decide
from command_svc.domain.catalog import CreateItem, CreateLocation, is_gtin
from command_svc.domain.item import Item
from command_svc.domain.levels import MAX_QUANTITY, Level, LevelKey
from command_svc.domain.location import Location
from command_svc.domain.orders import PlaceOrder
from command_svc.domain.refusals import (
    InsufficientStockError,
    ItemAlreadyExistsError,
    ItemNotFoundError,
    ItemNotStockedError,
    LocationAlreadyExistsError,
    LocationNotFoundError,
    QuantityOutOfRangeError,
    Refusal,
    RequestIdReusedError,
    VersionMismatchError,
)
from command_svc.domain.reservations import ReserveStock
from command_svc.domain.scope import Scope
from command_svc.domain.sourcing import Strategy
from command_svc.domain.stock import AddStock, AdjustStock, MoveStock, RemoveStock
from command_svc.domain.transaction import OutOfReachError, Record, Transaction
from command_svc.domain.transfers import DispatchedLine, DispatchTransfer
from inventory.type.v1.error_reason_pb2 import ErrorReason
from tests.unit.command_svc.making import (
    HERE,
    MUG,
    MUG_AT_STORE,
    NOW,
    encode,
    request,
    submission,
    transaction,
)
from tests.unit.command_svc.memory_store import MemoryStore

ADD = AddStock(MUG, 5, "RECEIPT")


def refused(working: Transaction, *commands: object) -> Refusal:
    """Return the last command's refusal."""
    verdict = decide(working, submission(*commands))[-1]  # type: ignore[arg-type]
    assert isinstance(verdict, Refusal)
    return verdict


def test_an_answered_request_gets_its_first_answer_and_changes_nothing() -> None:
    working = transaction(answered={"r": Record(b"body", b"first answer")})
    asked = Submission((request(ADD, "r", b"body"),))
    assert decide(working, asked) == [b"first answer"]
    assert working.is_empty


def test_a_request_id_with_another_body_is_refused() -> None:
    working = transaction(answered={"r": Record(b"body", b"first answer")})
    (verdict,) = decide(working, Submission((request(ADD, "r", b"another body"),)))
    assert isinstance(verdict, RequestIdReusedError)
    assert verdict.figures == {"request_id": "r"}
    assert working.is_empty


def test_the_same_request_twice_in_one_transaction_is_carried_out_once() -> None:
    working = transaction()
    first, second = decide(working, Submission((request(ADD, "r"), request(ADD, "r"))))
    assert first == second
    assert working.levels[MUG].on_hand == 5
    assert len(working.movements) == 1


def test_a_refused_request_leaves_its_id_free() -> None:
    working = transaction()
    take = RemoveStock(MUG, 5, "SALE")
    first, _, third = decide(working, Submission((request(take, "r"), request(ADD), request(take, "r"))))
    assert isinstance(first, InsufficientStockError)
    assert isinstance(third, bytes)


def test_the_record_holds_what_was_answered_with_the_transactions_stamp() -> None:
    working = transaction()
    (answer,) = decide(working, Submission((request(ADD, "r", b"body"),)))
    assert working.records == {"r": Record(b"body", answer)}  # type: ignore[arg-type]
    assert answer == encode(working.levels[MUG], Stamp(working.id, NOW, HERE))


def test_validating_carries_no_stamp_and_leaves_nothing() -> None:
    working = transaction()
    (answer,) = decide(working, submission(ADD, validate_only=True))
    assert answer == encode(Level(MUG, on_hand=5, version=1, update_time=NOW), None)
    assert working.is_empty
    assert not working.levels


def test_an_atomic_refusal_leaves_what_other_submissions_decided() -> None:
    working = transaction()
    decide(working, submission(ADD))
    with pytest.raises(AtomicRefusalError) as refusal:
        decide(working, submission(AddStock(MUG, 1, "RECEIPT"), RemoveStock(MUG, 7, "SALE"), atomic=True))
    assert refusal.value.index == 1
    assert working.levels[MUG] == Level(MUG, on_hand=5, version=1, update_time=NOW)
    assert len(working.movements) == len(working.records) == 1


def test_reserved_stock_is_not_removed_moved_or_adjusted_away() -> None:
    level = Level(MUG, on_hand=10, reserved=4, version=3, update_time=NOW)
    for command in (
        RemoveStock(MUG, 7, "SALE"),
        MoveStock(MUG, MUG_AT_STORE, 7, "REBALANCE"),
        AdjustStock(MUG, "COUNT", counted=3),
        AdjustStock(MUG, "LOSS", delta=-7),
    ):
        working = transaction([level])
        refusal = refused(working, command)
        assert isinstance(refusal, InsufficientStockError)
        assert refusal.figures == {"sku": "MUG", "location_id": "WH", "requested": "7", "available": "6"}
        assert working.is_empty


def test_a_count_that_finds_what_was_expected_is_an_entry() -> None:
    working = transaction([Level(MUG, on_hand=10, version=3, update_time=NOW)])
    decide(working, submission(AdjustStock(MUG, "COUNT", counted=10)))
    assert working.levels[MUG].version == 4
    assert working.movements[0].delta.on_hand == 0


def test_an_expected_version_must_be_the_levels() -> None:
    level = Level(MUG, on_hand=10, version=3, update_time=NOW)
    for expected, accepted in ((3, True), (2, False), (4, False)):
        (verdict,) = decide(
            transaction([level]),
            submission(AdjustStock(MUG, "COUNT", counted=1, expected_version=expected)),
        )
        assert isinstance(verdict, bytes) == accepted
        if isinstance(verdict, VersionMismatchError):
            assert verdict.figures["version"] == "3"
            assert verdict.figures["expected_version"] == str(expected)
    (verdict,) = decide(transaction(), submission(AdjustStock(MUG, "COUNT", counted=1, expected_version=0)))
    assert isinstance(verdict, bytes)


def test_the_two_halves_of_a_move_are_one() -> None:
    full = Level(MUG_AT_STORE, on_hand=MAX_QUANTITY, version=1, update_time=NOW)
    working = transaction([Level(MUG, on_hand=5, version=1, update_time=NOW), full])
    assert isinstance(refused(working, MoveStock(MUG, MUG_AT_STORE, 5, "REBALANCE")), QuantityOutOfRangeError)
    assert working.is_empty


@pytest.mark.parametrize(
    ("command", "kind", "figures"),
    [
        (AddStock(LevelKey("NO", "WH"), 1, "RECEIPT"), ItemNotFoundError, {"sku": "NO"}),
        (AddStock(LevelKey("MUG", "NO"), 1, "RECEIPT"), LocationNotFoundError, {"location_id": "NO"}),
        (
            AddStock(LevelKey("SONG", "WH"), 1, "RECEIPT"),
            ItemNotStockedError,
            {"sku": "SONG", "kind": "DIGITAL"},
        ),
        (
            AddStock(MUG, MAX_QUANTITY + 1, "RECEIPT"),
            QuantityOutOfRangeError,
            {
                "sku": "MUG",
                "location_id": "WH",
                "requested": str(MAX_QUANTITY + 1),
                "on_hand": "0",
                "in_transit": "0",
                "limit": str(MAX_QUANTITY),
            },
        ),
        (
            DispatchTransfer("", "ACME", "WH", (DispatchedLine("MUG", MAX_QUANTITY + 1),)),
            QuantityOutOfRangeError,
            {
                "sku": "MUG",
                "location_id": "WH",
                "requested": str(MAX_QUANTITY + 1),
                "on_hand": "0",
                "in_transit": "0",
                "limit": str(MAX_QUANTITY),
            },
        ),
        (CreateItem(Item("MUG", "Mug")), ItemAlreadyExistsError, {"sku": "MUG"}),
        (CreateLocation(Location("WH", "House", "STORE")), LocationAlreadyExistsError, {"location_id": "WH"}),
    ],
)
def test_refusals_name_their_figures(command: object, kind: type[Refusal], figures: dict[str, str]) -> None:
    working = transaction()
    refusal = refused(working, command)
    assert type(refusal) is kind
    assert refusal.figures == figures
    assert working.is_empty


def test_every_refusal_has_a_published_reason() -> None:
    kinds = [
        kind
        for kind in vars(refusals).values()
        if isinstance(kind, type) and issubclass(kind, Refusal) and kind is not Refusal
    ]
    assert len(kinds) == len(re.findall("[├└]", refusals.__doc__ or ""))
    for kind in kinds:
        assert f"ERROR_REASON_{kind.reason}" in ErrorReason.keys()  # noqa: SIM118 - no mapping


def test_a_created_item_can_be_stocked_in_the_same_transaction() -> None:
    new = LevelKey("NEW", "NEW")
    working = transaction()
    working.reach.add(new)  # its scope names it
    verdicts = decide(
        working,
        submission(
            CreateItem(Item("NEW", "New")),
            CreateLocation(Location("NEW", "New", "STORE")),
            AddStock(new, 3, "RECEIPT"),
        ),
    )
    assert all(isinstance(verdict, bytes) for verdict in verdicts)
    assert working.levels[new].on_hand == 3
    assert working.items["NEW"].create_time == working.locations["NEW"].create_time == NOW


def test_what_came_into_being_in_the_same_transaction_may_be_out_of_its_reach() -> None:
    """Nobody could know the components of a bundle that did not exist when the levels were locked."""
    for location_id in ("WH", None):
        working = transaction()
        working.reach.clear()
        bundle = CreateItem(Item("SET", "Set", kind="BUNDLE", counted=False, components=(("MUG", 1),)))
        order = PlaceOrder((WantedLine("SET", location_id, 1),), Terms(Strategy("PRIORITY")))
        with pytest.raises(OutOfReachError):
            decide(working, submission(bundle, order))


def test_an_expired_hold_may_keep_what_is_out_of_reach() -> None:
    """Nobody knew of it when the levels were locked, as it was made while they were waited for."""
    store = MemoryStore()
    lines = WantedLine(*MUG, 1), WantedLine(*MUG_AT_STORE, 1)
    hold = ReserveStock(lines, timedelta(microseconds=1), Terms(Strategy("PRIORITY")))
    stocked = submission(AddStock(MUG, 1, "RECEIPT"), AddStock(MUG_AT_STORE, 1, "RECEIPT"), hold)
    before = store.read(Scope.of([stocked]))
    decide(before, stocked)
    store.keep(before)
    store.now += timedelta(seconds=1)
    sale = submission(RemoveStock(MUG, 1, "SALE"))
    working = store.read(Scope.of([sale]))
    del working.levels[MUG_AT_STORE]
    with pytest.raises(OutOfReachError):
        decide(working, sale)
    assert working.is_empty


def test_a_scope_names_everything_that_is_touched() -> None:
    scope = Scope.of(
        [
            submission(ADD, MoveStock(MUG, MUG_AT_STORE, 1, "REBALANCE")),
            submission(CreateItem(Item("NEW", "New")), CreateLocation(Location("NEW", "New", "STORE"))),
        ]
    )
    assert scope.levels == {MUG, MUG_AT_STORE}
    assert scope.taken == {"MUG"}
    assert scope.items == {"NEW"}
    assert scope.locations == {"NEW"}
    assert len(scope.requests) == 4


@pytest.mark.parametrize(
    ("barcode", "right"),
    [
        ("4006381333931", True),
        ("4006381333932", False),
        ("96385074", True),
        ("036000291452", True),
        ("10614141000415", True),
        ("123456789", False),
        ("٤006381333931", False),
        ("", False),
    ],
)
def test_gtin_check_digits(barcode: str, *, right: bool) -> None:
    assert is_gtin(barcode) is right
