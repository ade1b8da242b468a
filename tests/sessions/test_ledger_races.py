"""The books under many hands at once: in one process, in several, and in one that is killed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from sessions import ledger_writes
from sessions.database import Database
from sessions.ledger import ChargeKind, Currency
from sessions.model import Scene, SceneState
from tests.sessions.buying import VERBS, balance, bought, charged, granted, on_record
from tests.sessions.making import NOW, sql, stored
from tests.sessions.neighbour import applied, neighbour, spend

COST = 50
HOLD, CAPTURE, RELEASE, REFUND = (
    ChargeKind.HOLD,
    ChargeKind.CAPTURE,
    ChargeKind.RELEASE,
    ChargeKind.REFUND,
)


@pytest.fixture
async def beside(database: Database) -> AsyncIterator[Database]:
    """A second one on the same file, with connections and threads of its own."""
    beside = Database(f"sqlite:///{database.path}")
    await beside.open_beside()
    yield beside
    await beside.close()


async def _bought(database: Database, number: int) -> list[Scene]:
    """As many jobs of one scene."""
    await granted(database, COST * number)
    return [scene for _ in range(number) for scene in await bought(database)]


def _all_charged(database: Database, scenes: list[Scene]) -> Counter[tuple[ChargeKind, ...]]:
    return Counter(tuple(charged(database, scene)) for scene in scenes)


# ---------------------------------------------------------------------- spending


@pytest.mark.parametrize("enough", [0, 1, 137, 1000])
async def test_of_a_thousand_purchases_at_once_as_many_succeed_as_can_be_paid(
    database: Database, enough: int
) -> None:
    await granted(database, COST * enough + COST - 1)
    assert await spend(database, 1000) == enough
    assert await balance(database) == (COST - 1, COST * enough)
    assert on_record(database, "jobs", "scenes", "holds", "events") == dict.fromkeys(
        ("jobs", "scenes", "holds", "events"), enough
    )
    assert on_record(database, "charges") == {"charges": 1 + enough}
    assert await database.discrepancies() == []


async def test_several_processes_together_spend_no_more_than_there_is(database: Database) -> None:
    enough, each = 300, 200
    await granted(database, COST * enough)
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(neighbour(database, "spend", each)) for _ in range(3)]
        for other in others:
            other.go()
        here = await spend(database, each)
        there = [int((await other.line()).removeprefix("done ")) for other in others]
    assert here + sum(there) == enough
    assert on_record(database, "jobs", "holds") == {"jobs": enough, "holds": enough}
    assert await balance(database) == (0, COST * enough)
    assert await database.discrepancies() == []


async def test_what_another_process_grants_meanwhile_is_spent_to_the_last_unit(database: Database) -> None:
    given = 5 * COST
    async with neighbour(database, "give", given) as other:
        other.go()
        here = 0
        while (await other.line()).isdecimal():
            here += await spend(database, 2)
    here += await spend(database, 10)
    assert here == given // COST
    assert await balance(database) == (0, given)
    assert await database.discrepancies() == []


async def test_an_account_that_is_opened_from_two_sides_opens_once(
    database: Database, beside: Database
) -> None:
    await asyncio.gather(
        *(
            store.grant("ann", currency, 1, note="", now=NOW, opening=100)
            for store in (database, beside)
            for currency in list(Currency) * 20
        )
    )
    for currency in Currency:
        assert (await database.balance("ann", currency)).available == 100 + 40
    assert await database.discrepancies() == []


# ---------------------------------------------------------------------- settling


async def test_of_start_and_cancel_that_meet_one_decides_what_is_charged(database: Database) -> None:
    scenes = await _bought(database, 200)
    async with neighbour(database, "cancel") as other:
        other.go()
        started, line = await asyncio.gather(applied(database, "start", scenes), other.line())
    assert line.startswith("done ")
    outcomes = _all_charged(database, scenes)
    assert set(outcomes) <= {(HOLD, CAPTURE), (HOLD, RELEASE)}
    assert outcomes[HOLD, CAPTURE] == started
    assert await balance(database) == (COST * (200 - started), 0)
    assert await database.discrepancies() == []


async def test_success_and_failure_that_meet_are_settled_once(database: Database, beside: Database) -> None:
    running = []
    for scene in await _bought(database, 100):
        change = VERBS["start"](scene)
        await database.apply(change)
        running.append(change.after)
    well, badly = await asyncio.gather(
        applied(database, "succeed", running), applied(beside, "fail", running)
    )
    assert well + badly == 100
    assert (
        _all_charged(database, running)
        == Counter({(HOLD, CAPTURE): well, (HOLD, CAPTURE, REFUND): badly}) - Counter()
    )
    assert await balance(database) == (COST * badly, 0)
    assert await database.discrepancies() == []


@pytest.mark.parametrize("verb", ["fail", "cancel"])
async def test_what_is_given_back_fifty_times_at_once_is_given_back_once(
    database: Database, beside: Database, verb: str
) -> None:
    """At the ledger itself, whatever the scene's own fence would have stopped."""
    (scene,) = await bought(database)
    for step in ("start", "put back"):
        change = VERBS[step](scene)
        await database.apply(change)
        scene = change.after
    change = VERBS[verb](scene)
    await asyncio.gather(
        *(
            store._writes.run(lambda it: ledger_writes.settle(it, change.before, change.after, NOW))
            for store in (database, beside)
            for _ in range(50)
        )
    )
    assert charged(database, scene) == [HOLD, CAPTURE, REFUND]
    assert await balance(database) == (COST, 0)
    await database.apply(change)
    assert charged(database, scene) == [HOLD, CAPTURE, REFUND]
    assert await database.discrepancies() == []


async def test_capture_and_release_that_meet_on_a_hold_are_never_both(
    database: Database, beside: Database
) -> None:
    """At the ledger itself: two that each believe to know how the scene has ended."""
    scenes = await _bought(database, 100)

    def settled(store: Database, scene: Scene, state: SceneState) -> asyncio.Future[None]:
        end = replace(scene, state=state)
        work = store._writes.run(lambda it: ledger_writes.settle(it, scene, end, NOW))
        return asyncio.ensure_future(work)

    await asyncio.gather(
        *(settled(database, scene, SceneState.SUCCEEDED) for scene in scenes),
        *(settled(beside, scene, SceneState.CANCELLED) for scene in reversed(scenes)),
    )
    outcomes = _all_charged(database, scenes)
    assert set(outcomes) <= {(HOLD, RELEASE), (HOLD, CAPTURE, REFUND)}, "a released hold stays so"
    assert await balance(database) == (COST * 100, 0)
    sums = sql(database, "SELECT sum(available_delta), sum(held_delta) FROM charges")
    assert sums == [(COST * 100, 0)]


# ---------------------------------------------------------------------- kill -9


@pytest.mark.parametrize("seen", [1, 20])
async def test_a_process_that_is_killed_while_it_grants_leaves_true_books(
    database: Database, seen: int
) -> None:
    async with neighbour(database, "give", 100_000) as other:
        other.go()
        for number in range(1, seen + 1):
            assert await other.line() == str(number)
        other.process.kill()
        await other.process.wait()
        rest, _ = await other.process.communicate()
    said = seen + len(rest.split())
    available, held = await balance(database)
    assert available in {said, said + 1}, "what was said to be done is done"
    assert held == 0
    assert on_record(database, "charges") == {"charges": available}
    assert await database.discrepancies() == []
    await granted(database, 1)
    assert await balance(database) == (available + 1, 0)


async def test_a_process_that_is_killed_while_it_buys_leaves_whole_purchases(database: Database) -> None:
    await granted(database, COST * 5000)
    async with neighbour(database, "spend", 5000) as other:
        other.go()
        while not on_record(database, "jobs")["jobs"]:
            await asyncio.sleep(0)
        other.process.kill()
        await other.process.wait()
    done = on_record(database, "jobs", "scenes", "holds")
    assert len(set(done.values())) == 1, done
    assert await balance(database) == (COST * (5000 - done["jobs"]), COST * done["jobs"])
    assert await database.discrepancies() == []
    assert await stored(database, (await bought(database))[0]), "and is in nobody's way"
