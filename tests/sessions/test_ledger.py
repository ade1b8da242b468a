"""Credits: what is held, taken and given back, and whether the books are true."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from itertools import product

import pytest
from sqlalchemy.exc import IntegrityError

from sessions.database import Database
from sessions.errors import InsufficientCredit, InvalidInput
from sessions.idempotency import KeyedRequest
from sessions.ledger import (
    HISTORIES,
    LARGEST,
    MOVES,
    NOTE_LIMIT,
    OPENING,
    Balance,
    Charge,
    ChargeKind,
    Currency,
    HoldState,
    permitted,
    settlement,
)
from sessions.model import SceneState, Stage
from tests.sessions.buying import (
    BOOKS,
    COST,
    VERBS,
    balance,
    bought,
    charged,
    clips,
    granted,
    on_record,
    purchase,
)
from tests.sessions.making import NOW, after, new_id, sql, stored

HOLD, CAPTURE, RELEASE, REFUND = (
    ChargeKind.HOLD,
    ChargeKind.CAPTURE,
    ChargeKind.RELEASE,
    ChargeKind.REFUND,
)
NOTHING = None

# ---------------------------------------------------------------------- rules

LIVES = [
    # a video comes
    [("start", CAPTURE), ("succeed", NOTHING)],
    [
        ("start", CAPTURE),
        ("sent", NOTHING),
        ("tick", NOTHING),
        ("generated", NOTHING),
        ("downloaded", NOTHING),
        ("succeed", NOTHING),
    ],
    [("start", CAPTURE), ("reconcile", NOTHING), ("generated", NOTHING), ("succeed", NOTHING)],
    [("start", CAPTURE), ("start", NOTHING), ("succeed", NOTHING)],
    [("start", CAPTURE), ("put back", NOTHING), ("start", NOTHING), ("succeed", NOTHING)],
    [("start", CAPTURE), ("sent", NOTHING), ("retry", NOTHING), ("start", NOTHING), ("succeed", NOTHING)],
    # none comes
    [("fail", RELEASE)],
    [("start", CAPTURE), ("fail", REFUND)],
    [("start", CAPTURE), ("reconcile", NOTHING), ("fail", REFUND)],
    [("start", CAPTURE), ("generated", NOTHING), ("fail", REFUND)],
    [("start", CAPTURE), ("put back", NOTHING), ("fail", REFUND)],
    [("start", CAPTURE), ("retry", NOTHING), ("start", NOTHING), ("fail", REFUND)],
    # nobody waits for it any more, and nothing has been sent
    [("cancel", RELEASE)],
    [("start", CAPTURE), ("put back", NOTHING), ("cancel", REFUND)],
    [("start", CAPTURE), ("retry", NOTHING), ("cancel", REFUND)],
    # nobody waits for it any more, and the provider bills it
    [("start", CAPTURE), ("cancel", NOTHING), ("succeed", NOTHING)],
    [("start", CAPTURE), ("cancel", NOTHING), ("fail", REFUND)],
    [("start", CAPTURE), ("reconcile", NOTHING), ("cancel", NOTHING), ("fail", REFUND)],
    [
        ("start", CAPTURE),
        ("cancel", NOTHING),
        ("start", NOTHING),
        ("tick", NOTHING),
        ("generated", NOTHING),
        ("downloaded", NOTHING),
        ("succeed", NOTHING),
    ],
]

#: of a scene that has its result from an earlier job, and sends no task
LIVES_WITH_A_RESULT = [
    [("start", CAPTURE), ("succeed", NOTHING)],
    [("start", CAPTURE), ("fail", REFUND)],
    [("start", CAPTURE), ("cancel", NOTHING), ("succeed", NOTHING)],
    [("start", CAPTURE), ("cancel", NOTHING), ("fail", REFUND)],
    [("cancel", NOTHING), ("succeed", CAPTURE)],
    [("cancel", NOTHING), ("fail", RELEASE)],
]


@pytest.mark.parametrize(
    ("life", "result"),
    [(life, None) for life in LIVES] + [(life, "http://x/old.mp4") for life in LIVES_WITH_A_RESULT],
)
async def test_a_scene_is_charged_by_what_becomes_of_it(
    database: Database, life: list[tuple[str, ChargeKind | None]], result: str | None
) -> None:
    scene, neighbour = await bought(database, 2, result=result)
    expected = [HOLD]
    for verb, due in life:
        change = VERBS[verb](scene)
        await database.apply(change)
        scene = change.after
        expected += [due] if due else []
        assert charged(database, scene) == expected, verb
        assert await database.discrepancies() == [], verb
    assert await stored(database, scene) == scene
    spent = COST if expected[-1] is CAPTURE else 0
    assert await balance(database) == (COST - spent, COST), "the neighbour's price is still held"
    assert charged(database, neighbour) == [HOLD]


@pytest.mark.parametrize("state", SceneState)
def test_what_has_been_charged_is_not_due_again(state: SceneState) -> None:
    for stage, owed, hold in product(Stage, (False, state is SceneState.CANCELLED), HoldState):
        scene = replace(clips()[1][0], state=state, stage=stage, owed=owed)
        due = settlement(scene, hold)
        may_be = permitted(state, stage, owed=owed)
        if due:
            found, left = MOVES[due]
            assert (found, hold in may_be, left in may_be) == (hold, False, True)
            assert settlement(scene, left) is None
        else:
            final = hold in {HoldState.RELEASED, HoldState.REFUNDED}
            assert hold in may_be or final


def test_every_state_of_a_hold_is_reached_by_its_charges() -> None:
    for state, kinds in HISTORIES.items():
        reached = HoldState.HELD
        for kind in kinds[1:]:
            found, reached_next = MOVES[kind]
            assert found is reached
            reached = reached_next
        assert (kinds[0], reached) == (HOLD, state)


async def test_cancelling_a_job_releases_what_is_held_and_keeps_what_is_billed(database: Database) -> None:
    waiting, running = await bought(database, 2)
    await database.apply(VERBS["start"](running))
    await database.cancel(waiting.job_id, {waiting.id, running.id}, NOW)
    await database.cancel(waiting.job_id, {waiting.id, running.id}, NOW)
    assert (charged(database, waiting), charged(database, running)) == ([HOLD, RELEASE], [HOLD, CAPTURE])
    assert await balance(database) == (COST, 0)
    assert await database.discrepancies() == []


# ---------------------------------------------------------------------- buying


async def test_the_price_of_all_scenes_is_held_with_their_job(database: Database) -> None:
    await granted(database, 230)
    snapshot = await database.create_job(*clips(4), purchase=purchase())
    assert await balance(database) == (30, 200)
    assert [charged(database, scene) for scene in snapshot.scenes] == [[HOLD]] * 4
    assert await database.discrepancies() == []


async def test_who_cannot_pay_gets_no_job(database: Database) -> None:
    await granted(database, 20)
    before = on_record(database, "jobs", "scenes", "events", "requests", *BOOKS)
    request = KeyedRequest(caller="ann", key="k", fingerprint="f", created_at=NOW)
    with pytest.raises(InsufficientCredit) as refused:
        await database.create_job(*clips(), request, purchase=purchase())
    assert refused.value.message == (
        "Insufficient tokens. Operation 'video_generation' costs 50 tokens but you have 20."
    )
    assert (refused.value.code, refused.value.currency) == ("insufficient_credit", "tokens")
    assert (refused.value.cost, refused.value.available) == (50, 20)
    assert on_record(database, *before) == before
    assert await balance(database) == (20, 0)
    assert await database.request("ann", "k") is None, "the same request may come again"


async def test_all_scenes_are_paid_for_or_none(database: Database) -> None:
    await granted(database, 3 * COST)
    with pytest.raises(InsufficientCredit, match=r"costs 200 tokens but you have 150\.$"):
        await database.create_job(*clips(4), purchase=purchase())
    assert await balance(database) == (3 * COST, 0)
    await database.create_job(*clips(3), purchase=purchase())
    assert await balance(database) == (0, 3 * COST), "the last unit can be spent"


async def test_an_account_opens_once_with_its_opening_balance(database: Database) -> None:
    assert await database.balance("ann", Currency.TOKENS, opening=120) == Balance(available=120, held=0)
    for left in (70, 20):
        await database.create_job(*clips(), purchase=purchase(opening=120))
        assert (await balance(database))[0] == left
    with pytest.raises(InsufficientCredit, match="you have 20"):
        await database.create_job(*clips(), purchase=purchase(opening=120))
    grants = [
        it for it in await database.charges_of("ann", Currency.TOKENS, 9) if it.kind is ChargeKind.GRANT
    ]
    assert [(it.available_delta, it.note) for it in grants] == [(120, OPENING)]
    assert await database.balance("ann", Currency.TOKENS, opening=999) == Balance(available=20, held=100)


@pytest.mark.parametrize("opening", [0, COST - 1])
async def test_an_account_does_not_open_for_a_job_that_is_refused(database: Database, opening: int) -> None:
    with pytest.raises(InsufficientCredit, match=f"you have {opening}"):
        await database.create_job(*clips(), purchase=purchase(opening=opening))
    assert on_record(database, *BOOKS) == dict.fromkeys(BOOKS, 0)


async def test_currencies_and_owners_are_apart(database: Database) -> None:
    await granted(database, COST)
    for other in (purchase("bob"), purchase(currency=Currency.DUST)):
        with pytest.raises(InsufficientCredit, match=f"Insufficient {other.price.currency}.*you have 0"):
            await database.create_job(*clips(), purchase=other)
    await database.grant("ann", Currency.DUST, 7, note="", now=NOW)
    await database.create_job(*clips(), purchase=purchase(cost=7, currency=Currency.DUST))
    assert await balance(database) == (COST, 0)
    assert await database.balance("ann", Currency.DUST) == Balance(available=0, held=7)
    assert await database.discrepancies() == []


async def test_what_nobody_pays_for_leaves_no_trace_in_the_books(database: Database) -> None:
    (scene,) = (await database.create_job(*clips())).scenes
    for verb in ("start", "succeed"):
        change = VERBS[verb](scene)
        await database.apply(change)
        scene = change.after
    assert on_record(database, *BOOKS) == dict.fromkeys(BOOKS, 0)


@pytest.mark.parametrize("cost", [0, -COST])
async def test_a_price_that_is_none_is_not_written(database: Database, cost: int) -> None:
    with pytest.raises(IntegrityError):
        await database.create_job(*clips(), purchase=purchase(cost=cost, opening=9))
    assert on_record(database, "jobs", *BOOKS) == dict.fromkeys(("jobs", *BOOKS), 0)


# ---------------------------------------------------------------------- grants


async def test_charges_come_back_as_they_were_newest_first(database: Database) -> None:
    await database.grant("ann", Currency.TOKENS, 60, note="für März 🪔", now=after(-1))
    (scene,) = (await database.create_job(*clips(), purchase=purchase())).scenes
    await database.apply(VERBS["start"](scene))
    common = {"owner": "ann", "currency": Currency.TOKENS}
    grant = Charge(
        seq=1,
        scene_id=None,
        kind=ChargeKind.GRANT,
        available_delta=60,
        held_delta=0,
        at=after(-1),
        note="für März 🪔",
        **common,  # type: ignore[arg-type]
    )
    hold = replace(
        grant, seq=2, scene_id=scene.id, kind=HOLD, available_delta=-50, held_delta=50, at=NOW, note=""
    )
    capture = replace(hold, seq=3, kind=CAPTURE, available_delta=0, held_delta=-50)
    assert await database.charges_of("ann", Currency.TOKENS, 9) == [capture, hold, grant]
    assert await database.charges_of("ann", Currency.TOKENS, 1) == [capture]
    assert await database.charges_of("ann", Currency.DUST, 9) == []


async def test_a_grant_adds_and_takes_back_what_is_not_held(database: Database) -> None:
    assert await database.grant("ann", Currency.TOKENS, 80, note="", now=NOW) == Balance(available=80, held=0)
    await database.create_job(*clips(), purchase=purchase())
    with pytest.raises(InvalidInput, match="ann has 30 tokens available"):
        await database.grant("ann", Currency.TOKENS, -31, note="", now=NOW)
    left = await database.grant("ann", Currency.TOKENS, -30, note="a mistake", now=NOW)
    assert left == Balance(available=0, held=50)
    assert await database.discrepancies() == []


async def test_a_grant_does_not_cost_the_owner_the_opening_balance(database: Database) -> None:
    for expected in (130, 160):
        given = await database.grant("ann", Currency.TOKENS, 30, note="", now=NOW, opening=100)
        assert given.available == expected


@pytest.mark.parametrize(
    ("owner", "amount", "note"),
    [
        ("", 1, ""),
        (" ", 1, ""),
        ("a\nb", 1, ""),
        ("x" * 256, 1, ""),
        ("ann", 0, ""),
        ("ann", -1, ""),
        ("ann", LARGEST + 1, ""),
        ("ann", -LARGEST - 1, ""),
        ("ann", 10**30, ""),
        ("ann", 1, "two\nlines"),
        ("ann", 1, "x" * (NOTE_LIMIT + 1)),
    ],
)
async def test_a_grant_that_cannot_be_made_writes_nothing(
    database: Database, owner: str, amount: int, note: str
) -> None:
    with pytest.raises(InvalidInput):
        await database.grant(owner, Currency.TOKENS, amount, note=note, now=NOW)
    assert on_record(database, *BOOKS) == dict.fromkeys(BOOKS, 0)


async def test_an_account_has_an_upper_limit(database: Database) -> None:
    await granted(database, LARGEST)
    with pytest.raises(InvalidInput, match="an account holds up to"):
        await granted(database, 1)
    assert await balance(database) == (LARGEST, 0)
    await database.create_job(*clips(), purchase=purchase())
    assert await balance(database) == (LARGEST - COST, COST), "still whole numbers"


# ---------------------------------------------------------------------- the audit


async def _some_history(database: Database) -> None:
    """Ann has a scene in each state of a hold, in this order: held, captured, released, refunded."""
    scenes = await bought(database, 4)
    for scene, verbs in zip(scenes, ([], ["start"], ["cancel"], ["start", "fail"]), strict=True):
        current = scene
        for verb in verbs:
            change = VERBS[verb](current)
            await database.apply(change)
            current = change.after


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("UPDATE accounts SET available = available + 1", "by +1 available and +0 held"),
        ("UPDATE accounts SET held = held - 2", "by +0 available and -2 held"),
        ("DELETE FROM accounts", "by -100 available and -50 held"),
        ("DELETE FROM charges WHERE kind = 'grant'", "by +200 available and +0 held"),
        ("DELETE FROM holds WHERE state = 'refunded'", "and -3 in their number"),
        ("DELETE FROM charges WHERE kind = 'refund'", "by +50 available, +0 held and +1 in their number"),
        ("UPDATE holds SET owner = 'bob' WHERE state = 'held'", "by -50 available, +50 held and +1"),
        ("UPDATE holds SET amount = 60 WHERE state = 'held'", "by -10 available, +10 held and +0"),
        ("UPDATE holds SET state = 'refunded' WHERE state = 'released'", "+0 held and +1 in their number"),
        ("UPDATE holds SET state = 'nonsense' WHERE state = 'held'", "its hold is nonsense"),
        ("UPDATE holds SET state = 'captured' WHERE state = 'held'", "by +0 available, -50 held and +1"),
        (
            "UPDATE scenes SET state = 'failed' WHERE state = 'running'",
            "the scene is failed, and its hold is captured",
        ),
        (
            "UPDATE scenes SET state = 'running' WHERE state = 'queued'",
            "the scene is running, and its hold is held",
        ),
        (
            "UPDATE scenes SET state = 'succeeded' WHERE state = 'failed'",
            "succeeded, and its hold is refunded",
        ),
        (
            "UPDATE scenes SET owed = 1 WHERE state = 'cancelled'",
            "the scene is owed, and its hold is released",
        ),
    ],
)
async def test_damage_to_the_books_is_found(database: Database, damage: str, problem: str) -> None:
    await _some_history(database)
    assert await database.discrepancies() == []
    sql(database, damage)  # this connection does not look at references
    found = await database.discrepancies()
    assert any(problem in it.problem for it in found), found
    assert {it.currency for it in found} == {"tokens"}
    assert {it.owner for it in found} <= {"ann", "bob"}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts SET available = -1",
        "UPDATE accounts SET held = -1",
        "UPDATE holds SET amount = 0",
        "INSERT INTO accounts SELECT * FROM accounts",
        "INSERT INTO holds SELECT * FROM holds",
        "INSERT INTO charges SELECT NULL, owner, currency, scene_id, kind, 0, 0, 0, '' FROM charges",
    ],
)
async def test_the_file_itself_refuses_what_must_not_be(database: Database, statement: str) -> None:
    await _some_history(database)
    with pytest.raises(sqlite3.IntegrityError):
        sql(database, statement)


async def test_nothing_is_charged_to_an_account_or_a_scene_that_is_not_there(database: Database) -> None:
    with pytest.raises(IntegrityError):
        await database._writes.run(
            lambda it: it.exec_driver_sql(
                "INSERT INTO charges VALUES (NULL, 'ann', 'tokens', NULL, 'grant', 1, 0, 0, '')"
            )
        )
    await granted(database, COST)
    with pytest.raises(IntegrityError):
        await database._writes.run(
            lambda it: it.exec_driver_sql(
                "INSERT INTO holds VALUES (?, 'ann', 'tokens', 1, 'held')", (new_id(),)
            )
        )
