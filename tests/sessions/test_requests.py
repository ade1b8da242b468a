"""Requests with an idempotency key, on record with what they led to."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from sessions.database import Database
from sessions.idempotency import KEPT, KeyedRequest
from sessions.model import JobSnapshot, Scenario
from sessions.store import RequestKnown, SceneUnderWay
from tests.sessions.making import NOW, a_session, an_order, begun, counts, new_id, sql

BLINK = timedelta(microseconds=1)


def _request(subject: str | None = None, **changes: object) -> KeyedRequest:
    request = KeyedRequest(caller="ann", key="k", fingerprint="f" * 64, created_at=NOW, subject=subject)
    return replace(request, **changes)  # type: ignore[arg-type]


async def test_a_request_comes_back_as_it_was(database: Database) -> None:
    plain = _request()
    answered = _request(new_id(), key="other", joined=True, status=202, body=b"{\x00\xff}")
    for request in (plain, answered):
        await database.remember_request(request)
        assert await database.request(request.caller, request.key) == request
    assert await database.request("bob", "k") is None
    assert await database.request("ann", "K") is None


async def test_an_answer_takes_the_place_of_the_request(database: Database) -> None:
    await database.remember_request(_request("job"))
    answered = _request("job", status=202, body=b"{}")
    await database.remember_request(answered)
    assert await database.request("ann", "k") == answered
    assert counts(database)["requests"] == 1


async def test_what_a_request_led_to_is_kept_when_its_answer_does_not_say(database: Database) -> None:
    await database.remember_request(_request("job", joined=True))
    await database.remember_request(_request(status=202))
    assert await database.request("ann", "k") == _request("job", joined=True, status=202)
    later = _request(created_at=NOW + BLINK)
    await database.remember_request(later)
    assert await database.request("ann", "k") == later, "another request under the same key"


async def test_a_job_and_its_request_are_put_on_record_together(database: Database) -> None:
    session = a_session()
    await database.create_session(session)
    job, scenes = an_order(session, Scenario.HOOK)
    request = _request(job.id)
    snapshot = await database.create_job(job, scenes, request)
    assert await database.request("ann", "k") == request
    before = counts(database)

    with pytest.raises(RequestKnown) as refused:
        await database.create_job(*an_order(session, Scenario.CTA), replace(request, created_at=NOW + BLINK))

    assert refused.value.known == request
    assert counts(database) == before
    assert await database.jobs_of(session.id) == [snapshot.job]


async def test_a_session_and_its_request_are_put_on_record_together(database: Database) -> None:
    session = a_session()
    request = _request(session.id)
    await database.create_session(session, request)
    assert await database.request("ann", "k") == request

    other = a_session()
    with pytest.raises(RequestKnown) as refused:
        await database.create_session(other, _request(other.id))

    assert refused.value.known == request
    assert await database.session(other.id) is None


async def test_the_same_key_of_another_caller_is_another_request(database: Database) -> None:
    for caller in ("ann", "bob"):
        session = a_session()
        await database.create_session(session, _request(session.id, caller=caller))
    assert counts(database)["sessions"] == counts(database)["requests"] == 2


async def test_a_scene_under_way_leaves_no_request_behind(database: Database) -> None:
    session, _ = await begun(database, Scenario.HOOK)
    job, scenes = an_order(session, Scenario.HOOK)
    with pytest.raises(SceneUnderWay):
        await database.create_job(job, scenes, _request(job.id))
    assert await database.request("ann", "k") is None


@pytest.mark.parametrize(("age", "known"), [(KEPT - BLINK, True), (KEPT, False), (KEPT * 2, False)])
async def test_a_key_is_free_again_after_24_hours(database: Database, age: timedelta, known: bool) -> None:
    first, second = a_session(), a_session()
    await database.create_session(first, _request(first.id))
    again = _request(second.id, created_at=NOW + age)
    if known:
        with pytest.raises(RequestKnown):
            await database.create_session(second, again)
    else:
        await database.create_session(second, again)
        assert await database.request("ann", "k") == again
    assert sql(database, "SELECT count(*) FROM requests") == [(1,)]


async def test_of_twenty_simultaneous_repetitions_exactly_one_is_carried_out(database: Database) -> None:
    sessions = [a_session() for _ in range(20)]
    for session in sessions:
        await database.create_session(session)
    orders = [an_order(session, Scenario.HOOK) for session in sessions]
    outcomes = await asyncio.gather(
        *(database.create_job(job, scenes, _request(job.id)) for job, scenes in orders),
        return_exceptions=True,
    )
    assert Counter(type(outcome) for outcome in outcomes) == {JobSnapshot: 1, RequestKnown: 19}
    winner = next(outcome for outcome in outcomes if isinstance(outcome, JobSnapshot))
    for outcome in outcomes:
        if isinstance(outcome, RequestKnown):
            assert outcome.known.subject == winner.job.id
    assert counts(database)["jobs"] == 1


async def test_old_requests_are_forgotten(database: Database) -> None:
    for number in range(4):
        await database.remember_request(_request(key=str(number), created_at=NOW + number * BLINK))
    assert await database.forget_requests(NOW + 2 * BLINK) == 2
    assert sql(database, "SELECT key FROM requests ORDER BY key") == [("2",), ("3",)]
    assert await database.forget_requests(NOW) == 0
