"""How a reader stands, of whose processes one reads and the others stand by."""

from __future__ import annotations

import pytest

from cdc.pipeline.readers import Readers, state_of
from inventory.admin.v1 import pipeline_service_pb2 as pb
from tests.ports import free_port


@pytest.mark.parametrize(
    ("processes", "reader"),
    [
        ("READING STANDING_BY", "READING"),
        ("UNREACHABLE READING", "READING"),
        ("HALTED STANDING_BY", "HALTED"),
        ("WAITING STANDING_BY", "WAITING"),
        ("STANDING_BY UNREACHABLE", "WAITING"),
        ("UNREACHABLE UNREACHABLE", "UNREACHABLE"),
        ("", "UNREACHABLE"),
    ],
)
def test_a_reader_stands_as_the_one_that_gets_furthest(processes: str, reader: str) -> None:
    states = [pb.ReaderState.Value(f"READER_STATE_{name}") for name in processes.split()]
    found = state_of([pb.ReaderProcess(state=state) for state in states])
    assert found == pb.ReaderState.Value(f"READER_STATE_{reader}")


async def test_who_does_not_answer_is_told_by_each_address_and_an_unknown_host_by_its_name() -> None:
    port = free_port()
    readers = Readers({"one": [f"localhost:{port}"], "other": ["nowhere.invalid:1"]}, timeout=1)
    try:
        for _ in range(2):
            found = await readers.processes()
            assert f"127.0.0.1:{port}" in [process.address for process in found["one"]]
            assert [process.address for process in found["other"]] == ["nowhere.invalid:1"]
            for processes in found.values():
                assert {process.state for process in processes} == {pb.READER_STATE_UNREACHABLE}
    finally:
        await readers.close()
