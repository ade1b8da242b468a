"""Transactions in threads, off the event loop.

Whatever is queued when a thread comes free becomes one transaction: many callers share one
commit, and with it one wait for the disk (group commit). Each caller's work has a savepoint
of its own, so that one that fails leaves its neighbours alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

from sessions.store import StoreUnavailable

_T = TypeVar("_T")
Work = Callable[[sa.Connection], _T]

#: how long work may wait for its turn, in seconds; a queue is no fault
_PATIENCE = 600.0

#: faults of the program; waiting would not mend them
_OURS = (IntegrityError, ProgrammingError, DataError)


@dataclass(slots=True)
class _Order:
    """Work in the queue, and what came of it."""

    work: Work[Any]
    answer: asyncio.Future[Any]
    since: float
    result: Any = None
    error: Exception | None = None

    def settle(self) -> None:
        """Answer the caller, on the event loop; one that was cancelled wants to hear nothing."""
        if self.answer.done():
            return
        if self.error is None:
            self.answer.set_result(self.result)
        else:
            self.answer.set_exception(self.error)


class TransactionThreads:
    """``threads`` that carry out work, each up to ``most`` in one transaction of ``engine``."""

    def __init__(self, engine: sa.Engine, *, threads: int, most: int) -> None:
        self._engine = engine
        self._most = most
        self._queue: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._serve, name="store", daemon=True) for _ in range(threads)
        ]
        self._unanswered = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    async def run(self, work: Work[_T]) -> _T:
        """Carry out ``work`` once and whole, even if the caller is cancelled; answer when it is committed."""
        if self._closed:
            raise StoreUnavailable("the database is closed")
        if not self._threads[0].ident:
            for thread in self._threads:
                thread.start()
        answer: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._unanswered += 1
        self._idle.clear()
        self._queue.put(_Order(work, answer, time.monotonic()))
        return await answer

    async def close(self, farewell: float) -> None:
        """Take no more; what is queued gets ``farewell`` seconds, what has begun gets its end."""
        self._closed = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(farewell):
                await self._idle.wait()
        self._settle(self._refuse(self._waiting(), "the database is closed"))
        await self._idle.wait()
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        for _ in self._threads:
            self._queue.put(None)  # all of them first: whichever thread is free takes one
        for thread in self._threads:
            if thread.ident:
                thread.join()
        self._engine.dispose()

    def _waiting(self) -> list[_Order]:
        """Everything that no thread has taken; it is taken now."""
        orders: list[_Order] = []
        with contextlib.suppress(queue.Empty):
            while order := self._queue.get_nowait():
                orders.append(order)
        return orders

    def _settle(self, orders: list[_Order]) -> None:
        for order in orders:
            order.settle()
        self._unanswered -= len(orders)
        if not self._unanswered:
            self._idle.set()

    # ------------------------------------------------------------------ in a thread

    def _serve(self) -> None:
        while order := self._queue.get():
            orders = [order]
            with contextlib.suppress(queue.Empty):
                while len(orders) < self._most and (order := self._queue.get_nowait()):
                    orders.append(order)
            self._carry_out(orders)
            with contextlib.suppress(RuntimeError):  # the event loop has ended: nobody is waiting
                orders[0].answer.get_loop().call_soon_threadsafe(self._settle, orders)

    def _carry_out(self, orders: list[_Order]) -> None:
        latest = time.monotonic() - _PATIENCE
        self._refuse([it for it in orders if it.since < latest], "the store has too much to do")
        in_time = [it for it in orders if it.since >= latest]
        try:
            with self._engine.begin() as connection:
                for order in in_time:
                    _attempt(connection, order)
        except Exception as error:  # noqa: BLE001 - nothing is committed, and everybody must hear of it
            self._refuse(in_time, _reason(error))

    @staticmethod
    def _refuse(orders: list[_Order], reason: str) -> list[_Order]:
        for order in orders:
            order.error = StoreUnavailable(reason)
        return orders


def _attempt(connection: sa.Connection, order: _Order) -> None:
    """Carry out one order; if it fails, what it has written is taken back.

    Where the database itself has given up the transaction, there is no savepoint to go back
    to, and the transaction fails as a whole.
    """
    connection.exec_driver_sql("SAVEPOINT work")
    try:
        order.result = order.work(connection)
    except Exception as error:  # noqa: BLE001 - the caller's, whatever it is
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT work")
        order.error = _translated(error)
    connection.exec_driver_sql("RELEASE SAVEPOINT work")


def _translated(error: Exception) -> Exception:
    """A database that cannot be used is ``StoreUnavailable``, be it locked, full or gone."""
    if not isinstance(error, DBAPIError) or isinstance(error, _OURS):
        return error
    unavailable = StoreUnavailable(_reason(error))
    unavailable.__cause__ = error
    return unavailable


def _reason(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error)
