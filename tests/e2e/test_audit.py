"""The audit log, looked at through the front door: commands, refusals, dead letters, sealed as it runs."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from google.type.date_pb2 import Date

from client import DeadLetterNotFoundError, LocationNotFoundError
from inventory.admin.v1 import audit_service_pb2 as pb
from inventory.admin.v1.pipeline_service_pb2 import DiscardDeadLettersRequest
from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT
from tests.soon import soon
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

PATIENCE = 60.0


async def test_what_came_through_the_door_is_in_the_log_and_sealed(stack: RunningStack) -> None:
    sku, actor = f"AUD-{uuid4().hex[:8]}", f"auditor-{uuid4().hex[:8]}"
    async with stack.client(actor, timeout=PATIENCE) as client:
        await client.create_item(CreateItemRequest(sku=sku, name="Audited"))
        stock = AddStockRequest(
            sku=sku, location_id="NOWHERE", quantity=1, reason=MOVEMENT_REASON_RECEIPT, request_id=sku
        )
        with pytest.raises(LocationNotFoundError):
            await client.add_stock(stock)
        with pytest.raises(DeadLetterNotFoundError):
            await client.discard_dead_letters(DiscardDeadLettersRequest(dead_letter_ids=["x"], reason="none"))
        wanted = pb.ListAuditEntriesRequest(filter=pb.AuditFilter(actor=actor))
        listed = await soon(
            lambda: client.list_audit_entries(wanted), lambda answer: len(answer.entries) >= 3
        )
        found = listed.entries
        assert {(entry.method.rpartition("/")[2], entry.verdict) for entry in found} == {
            ("CreateItem", "OK"),
            ("AddStock", "LOCATION_NOT_FOUND"),
            ("DiscardDeadLetters", "DEAD_LETTER_NOT_FOUND"),
        }
        # Of a caller on its own machine, Envoy tells the machine's address.
        (source,) = {entry.source for entry in found}
        assert source == "127.0.0.1" or source.endswith(("/24", "/48"))
        assert all(entry.trace_id for entry in found)
        day = found[0].record_time.ToDatetime().date()
        proof = pb.VerifyAuditDayRequest(day=Date(year=day.year, month=day.month, day=day.day))
        async with asyncio.timeout(PATIENCE):
            while True:
                proved = await client.verify_audit_day(proof)
                assert proved.intact, proved.broken
                if proved.complete and proved.end.position >= len(found):
                    return
                await asyncio.sleep(0.2)
