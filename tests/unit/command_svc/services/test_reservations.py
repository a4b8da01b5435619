"""Reservations in the answers of their commands."""

from __future__ import annotations

from inventory.command.v1 import reservation_command_service_pb2 as pb
from inventory.type.v1.reservation_pb2 import RESERVATION_STATE_CANCELLED, RESERVATION_STATE_CONFIRMED
from tests.unit.command_svc.memory_store import MemoryStore
from tests.unit.command_svc.services.broken import RESOLVE
from tests.unit.command_svc.services.calling import Commands, refusal


async def held(commands: Commands, **fields: object) -> pb.ReserveStockResponse:
    """Reserve two of five units that are there; return the answer."""
    await commands.do("AddStock")
    answer = await commands.do("ReserveStock", **fields)
    assert isinstance(answer, pb.ReserveStockResponse)
    return answer


async def test_a_reservation_is_answered_with_what_it_holds_and_the_levels_it_left(
    commands: Commands, store: MemoryStore
) -> None:
    answer = await held(commands, reference="cart-1", channel="web", request_id="r")
    (line,) = answer.reservation.lines
    assert (line.sku, line.location_id, line.quantity) == ("MUG", "WH", 2)
    assert (answer.reservation.reference, answer.reservation.channel) == ("cart-1", "web")
    (level,) = answer.levels
    assert (level.on_hand, level.reserved, level.sellable) == (5, 2, 3)
    again = await commands.do("ReserveStock", reference="cart-1", channel="web", request_id="r")
    assert again == answer
    assert len(store.reservations) == 1


async def test_a_hold_is_resolved_once_and_told_so_afterwards(commands: Commands) -> None:
    reservation_id = (await held(commands)).reservation.reservation_id
    confirmed = await commands.do(
        "ConfirmReservation",
        reservation_id=reservation_id,
        lines=[{"sku": "MUG", "location_id": "WH", "quantity": 1}],
        release_rest=True,
    )
    assert confirmed.reservation.state == RESERVATION_STATE_CONFIRMED
    assert [(one.on_hand, one.reserved) for one in confirmed.levels] == [(4, 0)]
    for rpc in RESOLVE.split():
        refused = await refusal(commands.do(rpc, reservation_id=reservation_id))
        assert (refused.code, refused.reason) == (9, "RESERVATION_RESOLVED")
        assert refused.metadata == {"reservation_id": reservation_id, "state": "CONFIRMED"}


async def test_an_unknown_hold_is_not_found(commands: Commands) -> None:
    for rpc in RESOLVE.split():
        refused = await refusal(commands.do(rpc))
        assert (refused.code, refused.reason) == (5, "RESERVATION_NOT_FOUND")


async def test_a_hold_is_extended_from_now_on(commands: Commands) -> None:
    reservation = (await held(commands)).reservation
    extended = await commands.do("ExtendReservation", reservation_id=reservation.reservation_id)
    # The clock of the store in memory stands still: fifteen minutes by default, then one.
    assert reservation.expire_time.seconds - extended.reservation.expire_time.seconds == 14 * 60
    assert extended.reservation.version == 2


async def test_a_cancelled_hold_gives_back_what_it_held(commands: Commands) -> None:
    reservation_id = (await held(commands)).reservation.reservation_id
    answer = await commands.do("CancelReservation", reservation_id=reservation_id)
    assert answer.reservation.state == RESERVATION_STATE_CANCELLED
    assert [(one.on_hand, one.reserved) for one in answer.levels] == [(5, 0)]


async def test_lines_without_a_location_are_served_where_there_is_stock_and_the_choice_is_explained(
    commands: Commands,
) -> None:
    await commands.do("AddStock", location_id="ST", quantity=3)
    await commands.do("AddStock", location_id="WH", quantity=1)
    answer = await commands.do("ReserveStock", lines=[{"sku": "MUG", "quantity": 2}])
    (line,) = answer.reservation.lines
    assert (line.location_id, line.quantity) == ("ST", 2)
    assert {one.location_id: (one.servable, one.chosen) for one in answer.sourcing} == {
        "ST": (2, 2),
        "WH": (1, 0),
    }
