"""Group commit: who shares a transaction, who is answered what, and when."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from sessions import transactions
from sessions.engines import sqlite_engine
from sessions.store import StoreUnavailable
from sessions.transactions import TransactionThreads, Work

MOST = 8


@pytest.fixture
def engine(tmp_path: Path) -> sa.Engine:
    engine = sqlite_engine(tmp_path / "test.db", connections=1, begin="BEGIN IMMEDIATE")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE notes (number INTEGER PRIMARY KEY)")
    return engine


@pytest.fixture
async def writer(engine: sa.Engine) -> AsyncIterator[TransactionThreads]:
    writer = TransactionThreads(engine, threads=1, most=MOST)
    yield writer
    await writer.close(5)
    assert not [thread for thread in threading.enumerate() if thread.name == "store"]


def _note(number: int) -> Work[int]:
    def work(connection: sa.Connection) -> int:
        connection.exec_driver_sql("INSERT INTO notes VALUES (?)", (number,))
        return number

    return work


def _numbers(connection: sa.Connection) -> list[int]:
    return list(connection.exec_driver_sql("SELECT number FROM notes ORDER BY number").scalars())


@contextmanager
def _heard(engine: sa.Engine, name: str) -> Iterator[list[sa.Connection]]:
    """Each time that ``name`` happened to a connection."""
    heard: list[sa.Connection] = []

    def note(connection: sa.Connection) -> None:
        heard.append(connection)

    sa.event.listen(engine, name, note)
    try:
        yield heard
    finally:
        sa.event.remove(engine, name, note)


class Held:
    """Keeps the thread busy, so that all that is asked meanwhile is queued."""

    def __init__(self, writer: TransactionThreads) -> None:
        self._writer = writer
        self._entered, self._released = threading.Event(), threading.Event()

    def _work(self, _: sa.Connection) -> None:
        self._entered.set()
        self._released.wait()

    async def __aenter__(self) -> asyncio.Task[None]:
        task = asyncio.create_task(self._writer.run(self._work))
        while not self._entered.is_set():
            await asyncio.sleep(0)
        return task

    async def __aexit__(self, *_: object) -> None:
        self._released.set()


async def _asked(*calls: Coroutine[Any, Any, Any]) -> list[asyncio.Task[Any]]:
    tasks = [asyncio.create_task(call) for call in calls]
    await asyncio.sleep(0)
    return tasks


async def test_what_is_queued_shares_a_commit(writer: TransactionThreads, engine: sa.Engine) -> None:
    with _heard(engine, "commit") as commits:
        async with Held(writer):
            tasks = await _asked(*(writer.run(_note(number)) for number in range(2 * MOST)))
        assert await asyncio.gather(*tasks) == list(range(2 * MOST))
    assert len(commits) == 1 + 2
    assert await writer.run(_numbers) == list(range(2 * MOST))


async def test_nobody_is_answered_before_the_commit(writer: TransactionThreads, engine: sa.Engine) -> None:
    answered: list[int] = []
    seen: list[list[int]] = []

    def look(_: sa.Connection) -> None:
        seen.append(list(answered))

    async def ask(number: int) -> None:
        answered.append(await writer.run(_note(number)))

    async with Held(writer) as first:
        tasks = await _asked(*(ask(number) for number in range(MOST)))
        sa.event.listen(engine, "commit", look)
    await asyncio.gather(first, *tasks)
    assert seen == [[], []]
    assert answered == list(range(MOST)), "in the order in which they asked"


async def test_one_that_fails_leaves_its_neighbours_alone(writer: TransactionThreads) -> None:
    calls: list[str] = []

    def write_and_fail(connection: sa.Connection) -> None:
        calls.append("failing")
        _note(5)(connection)
        raise LookupError("mine")

    def locked(connection: sa.Connection) -> None:
        calls.append("locked")
        _note(6)(connection)
        raise OperationalError("SELECT", {}, Exception("database is locked"))

    async with Held(writer):
        tasks = await _asked(
            *map(writer.run, (_note(1), write_and_fail, _note(2), _note(1), locked, _note(3)))
        )
    first, failing, second, twice, busy, third = await asyncio.gather(*tasks, return_exceptions=True)

    assert (first, second, third) == (1, 2, 3)
    assert isinstance(failing, LookupError)
    assert isinstance(twice, sa.exc.IntegrityError), "a fault of the program stays what it is"
    assert isinstance(busy, StoreUnavailable)
    assert str(busy) == "database is locked"
    assert calls == ["failing", "locked"], "nothing runs twice"
    assert await writer.run(_numbers) == [1, 2, 3]


@pytest.mark.parametrize("moment", ["begin", "commit"])
async def test_without_its_begin_or_commit_a_transaction_is_nothing(
    writer: TransactionThreads, engine: sa.Engine, moment: str
) -> None:
    def fail(_: sa.Connection) -> None:
        raise OperationalError(moment, {}, Exception("disk full"))

    await writer.run(_note(1))
    sa.event.listen(engine, moment, fail)
    outcomes = await asyncio.gather(
        *(writer.run(_note(100 + number)) for number in range(MOST)), return_exceptions=True
    )
    sa.event.remove(engine, moment, fail)
    assert [(type(outcome), str(outcome)) for outcome in outcomes] == [(StoreUnavailable, "disk full")] * MOST
    assert len(set(map(id, outcomes))) == MOST, "each its own, for each grows its own traceback"
    assert await writer.run(_numbers) == [1]


async def test_a_transaction_that_the_database_gave_up_is_lost_as_a_whole(writer: TransactionThreads) -> None:
    def give_up(connection: sa.Connection) -> None:
        connection.exec_driver_sql("ROLLBACK")  # as SQLite does by itself when the disk is full
        raise OperationalError("INSERT", {}, Exception("disk full"))

    async with Held(writer):
        tasks = await _asked(*map(writer.run, (_note(1), give_up, _note(2))))
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 3
    assert await writer.run(_numbers) == []


async def test_waiting_too_long_for_the_turn_is_the_store_being_unavailable(
    writer: TransactionThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Held(writer) as first:
        (task,) = await _asked(writer.run(_note(1)))
        monkeypatch.setattr(transactions, "_PATIENCE", -1.0)
    with pytest.raises(StoreUnavailable, match="too much to do"):
        await task
    await first
    monkeypatch.undo()
    assert await writer.run(_numbers) == []


async def test_the_work_of_a_cancelled_caller_is_done_whole(writer: TransactionThreads) -> None:
    async with Held(writer) as first:
        tasks = await _asked(*(writer.run(_note(number)) for number in range(4)))
        for task in (first, *tasks[:2]):
            task.cancel()
        await asyncio.gather(first, *tasks[:2], return_exceptions=True)
    assert await asyncio.gather(*tasks[2:]) == [2, 3]
    assert await writer.run(_numbers) == [0, 1, 2, 3]


async def test_closing_carries_out_what_is_queued(engine: sa.Engine) -> None:
    writer = TransactionThreads(engine, threads=1, most=MOST)
    async with Held(writer):
        tasks = await _asked(*(writer.run(_note(number)) for number in range(3 * MOST)))
        (closing,) = await _asked(writer.close(60))
        with pytest.raises(StoreUnavailable, match="closed"):
            await writer.run(_note(100))
    assert await asyncio.gather(*tasks) == list(range(3 * MOST))
    await closing


async def test_closing_refuses_in_the_end_what_has_not_begun(engine: sa.Engine) -> None:
    writer = TransactionThreads(engine, threads=1, most=MOST)
    async with Held(writer) as first:
        tasks = await _asked(*(writer.run(_note(number)) for number in range(3)))
        (closing,) = await _asked(writer.close(0))
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert not first.done(), "what has begun gets its end"
        assert not closing.done()
    await asyncio.gather(first, closing)
    assert [(type(outcome), str(outcome)) for outcome in outcomes] == [
        (StoreUnavailable, "the database is closed")
    ] * 3
    with engine.connect() as connection:
        assert _numbers(connection) == []
    engine.dispose()


def _one(connection: sa.Connection) -> None:
    assert connection.exec_driver_sql("SELECT 1").scalar() == 1


async def test_closing_ends_all_threads(tmp_path: Path) -> None:
    for threads in (1, 2, 3, 3, 3):
        engine = sqlite_engine(tmp_path / "test.db", connections=threads, begin="BEGIN")
        crew = TransactionThreads(engine, threads=threads, most=1)
        await asyncio.gather(
            *(crew.run(lambda it: it.exec_driver_sql("SELECT 1").scalar()) for _ in range(9))
        )
        async with asyncio.timeout(60):
            await crew.close(60)
            await crew.close(60)
    assert not [thread for thread in threading.enumerate() if thread.name == "store"]


async def test_closing_what_was_never_used_is_nothing(engine: sa.Engine) -> None:
    await TransactionThreads(engine, threads=3, most=1).close(60)


async def test_threads_work_side_by_side(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path / "test.db", connections=3, begin="BEGIN")
    crew = TransactionThreads(engine, threads=3, most=1)
    meeting = threading.Barrier(3, timeout=60)

    def meet(_: sa.Connection) -> None:
        meeting.wait()

    await asyncio.gather(*(crew.run(meet) for _ in range(3)))
    await crew.close(60)


def test_callers_whose_event_loop_has_ended_do_no_harm(engine: sa.Engine) -> None:
    entered, released = threading.Event(), threading.Event()

    def slow(connection: sa.Connection) -> None:
        entered.set()
        released.wait()
        _note(1)(connection)

    async def leave() -> TransactionThreads:
        writer = TransactionThreads(engine, threads=1, most=MOST)
        task = asyncio.create_task(writer.run(slow))
        while not entered.is_set():
            await asyncio.sleep(0)
        task.cancel()
        return writer

    writer = asyncio.run(leave())
    released.set()
    writer._end()
    with engine.connect() as connection:
        assert _numbers(connection) == [1]
    engine.dispose()
