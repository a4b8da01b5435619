"""How much is where, changed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from functools import cached_property
from typing import TYPE_CHECKING

from inventory.command.v1 import stock_command_service_pb2 as pb
from inventory.command.v1.stock_command_service_pb2_grpc import StockCommandServiceStub

from . import stream
from .connection import Connection, new_call_id

if TYPE_CHECKING:
    from inventory.command.v1.stock_command_service_pb2_grpc import StockCommandServiceAsyncStub


class StockCommands(Connection):
    """The commands of StockCommandService.

    Each may also raise ItemNotFoundError, LocationNotFoundError, ItemNotStockedError and, where it names a
    lot, LotNotTrackedError.
    """

    @cached_property
    def _stock_commands(self) -> StockCommandServiceAsyncStub:
        return StockCommandServiceStub(self._channel)

    async def add_stock(
        self, request: pb.AddStockRequest, *, timeout: float | None = None
    ) -> pb.AddStockResponse:
        """Add units that have arrived.

        Raises QuantityOutOfRangeError, ItemArchivedError, LocationInactiveError, LotRequiredError,
        LotMismatchError and SerialAlreadyPresentError.
        """
        return await self._command(self._stock_commands.AddStock, request, timeout)

    async def remove_stock(
        self, request: pb.RemoveStockRequest, *, timeout: float | None = None
    ) -> pb.RemoveStockResponse:
        """Remove units that are gone.

        Raises InsufficientStockError when fewer are available, LotNotFoundError, SerialNotFoundError and
        SerialsRequiredError.
        """
        return await self._command(self._stock_commands.RemoveStock, request, timeout)

    async def adjust_stock(
        self, request: pb.AdjustStockRequest, *, timeout: float | None = None
    ) -> pb.AdjustStockResponse:
        """Correct a level, or one lot of it.

        Raises VersionMismatchError when the level is not at the expected version, InsufficientStockError when
        it would fall below what is reserved, QuantityOutOfRangeError, LotRequiredError, LotMismatchError,
        SerialAlreadyPresentError, SerialNotFoundError and SerialsRequiredError; where units would come up,
        ItemArchivedError and LocationInactiveError.
        """
        return await self._command(self._stock_commands.AdjustStock, request, timeout)

    async def move_stock(
        self, request: pb.MoveStockRequest, *, timeout: float | None = None
    ) -> pb.MoveStockResponse:
        """Move units between two locations; they keep their lot and their serials.

        Raises InsufficientStockError when fewer are available, QuantityOutOfRangeError, ItemArchivedError,
        LocationInactiveError (of the destination), LotNotFoundError, LotMismatchError, SerialNotFoundError
        and SerialsRequiredError.
        """
        return await self._command(self._stock_commands.MoveStock, request, timeout)

    async def set_stock_policy(
        self, request: pb.SetStockPolicyRequest, *, timeout: float | None = None
    ) -> pb.SetStockPolicyResponse:
        """Set how a level is kept.

        Raises ItemArchivedError, LocationInactiveError, VersionMismatchError and BackordersOutstandingError.
        """
        return await self._command(self._stock_commands.SetStockPolicy, request, timeout)

    async def batch_stock(
        self, request: pb.BatchStockRequest, *, timeout: float | None = None
    ) -> pb.BatchStockResponse:
        """Carry out up to 1000 commands in one transaction.

        A refused one has its status in its result (`error_from_status` makes the exception of it); only an
        `atomic` batch raises a command's refusal, whose metadata then names the command_index.
        """
        return await self._command(self._stock_commands.BatchStock, request, timeout)

    def stream_stock(
        self,
        messages: AsyncIterable[pb.StreamStockRequest],
        *,
        timeout: float | None = None,
        ahead: int = 32,
    ) -> AsyncGenerator[pb.StreamStockResponse, None]:
        """Carry out the commands of many messages in their order; yield the answer to each.

        A message without a request_id is sent with a new one. When the stream is cut, it is opened again
        and the unanswered messages are sent again with the same ids, so nothing is lost or done twice.
        `messages` is read as far as answers are: at most `ahead` messages wait for theirs. Refusals are
        in the results, as in `batch_stock`. Raises the error of a stream that another cannot cure:
        InvalidFieldError for a message that breaks a rule of its own, and DeadlineExceededError when
        `timeout` seconds brought no answer.
        """
        call_id = new_call_id()

        async def opened() -> stream.Call:
            return self._stock_commands.StreamStock(metadata=await self._metadata(call_id))

        return self._remembered(
            stream.resuming(
                opened,
                messages,
                retry=self._retry,
                timeout=self._timeout if timeout is None else timeout,
                ahead=ahead,
                call_id=call_id,
            )
        )

    async def _remembered(
        self, answers: AsyncGenerator[pb.StreamStockResponse, None]
    ) -> AsyncGenerator[pb.StreamStockResponse, None]:
        async with aclosing(answers):
            async for answer in answers:
                self._remember(answer.consistency_token)
                yield answer
