"""Clips on their own: what an order leads to, what it costs, who waits, and what a restart makes of it."""

from __future__ import annotations

import asyncio
import base64
import os
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.clips import Clips, Order
from service.providers.catalogue import Wish
from service.studio import Ticket
from sessions.clock import utc_now
from sessions.errors import InsufficientCredit, NotFound, QuotaReached, UnsupportedByModel
from sessions.idempotency import KeyedRequest
from sessions.ledger import Currency
from sessions.lifecycle import Transition
from sessions.model import EventKind, Frames, Job, JobSnapshot, JobState, Lane, SceneState, Stage
from sessions.store import StoreUnavailable
from tests.house import House, open_house, runware_layer, settings_for
from tests.sessions.making import counts, sql
from tests.wire.runware_server import RunwareServer, Script

NOW = datetime(2026, 3, 1, tzinfo=UTC)
JPEG = b"\xff\xd8\xff\xe0 bytes that nobody looks at here"
OPENING = 10_000
_NO_FRAMES = Frames()


def _order(
    prompt: str = "A lamp", *, model: str | None = None, frames: Frames = _NO_FRAMES, **changes: Any
) -> Order:
    wish = Wish(prompt=prompt, model=model, frames=frames)
    return Order(wish=wish, **{"terms": "video_jobs", **changes})


def _clips(house: House) -> Clips:
    return house.service.production.clips


async def _ordered(house: House, *prompts: str, owner: str | None = "ann", **changes: Any) -> list[str]:
    return [(await _clips(house).order(_order(prompt, **changes), owner)).job_id for prompt in prompts]


async def _balance(house: House, owner: str = "ann") -> tuple[int, int]:
    found = await house.service.production.database.balance(owner, Currency.TOKENS, opening=OPENING)
    return found.available, found.held


async def _ended(house: House, job_id: str) -> JobSnapshot:
    async with asyncio.timeout(20):
        return await house.service.live.until(job_id, lambda it: it.job.closed)


async def _sent(house: House, job_id: str) -> None:
    async with asyncio.timeout(20):
        await house.service.live.until(job_id, lambda it: it.scenes[0].stage is Stage.SENT)


async def _told(house: House, job_id: str, text: str) -> None:
    """Until it is said of the job that it waits for this."""
    async with asyncio.timeout(10):
        while True:
            job = house.service.live.get(job_id)
            assert job is not None
            if any(text in note for note in job.notes.values()):
                return
            await job.changed.wait()


def _nothing_is_on_record(house: House) -> bool:
    found = counts(house.service.production.database)
    return not any(found.values()) and not house.service.live._moving


def _request(key: str = "key", caller: str = "ann") -> KeyedRequest:
    return KeyedRequest(caller=caller, key=key, fingerprint="f" * 64, created_at=utc_now())


@pytest.fixture
async def held(tmp_path: Path, wire: RunwareServer) -> AsyncIterator[House]:
    """A service whose provider accepts everything, and finishes nothing before it is told to."""
    wire.script_default(Script(hold=True))
    async with open_house(settings_for(tmp_path, runware_layer(wire))) as house:
        yield house


# ---------------------------------------------------------------------- an order


async def test_an_order_becomes_a_video(local: House) -> None:
    ticket = await _clips(local).order(_order(asked={"mode": "T2V"}, lane=Lane.BATCH), "ann")
    snapshot = await _ended(local, ticket.job_id)
    (scene,) = snapshot.scenes
    assert ticket == Ticket(job_id=scene.id, scenes=1, joined=False)
    job = snapshot.job
    assert (job.state, job.owner, job.terms, job.lane) == (
        JobState.SUCCEEDED,
        "ann",
        "video_jobs",
        Lane.BATCH,
    )
    assert (job.session_id, dict(job.asked)) == (None, {"mode": "T2V"})
    assert (scene.scenario, scene.name, scene.take) == (None, "clip", 1)
    video = await local.service.production.library.video(ticket.job_id)
    assert video.take.file.startswith(f"{ticket.job_id}_clip_")
    assert (await local.get(f"/outputs/{video.take.file}")).status == 200
    assert await _balance(local) == (OPENING - 50, 0)


async def test_the_job_is_found_by_its_scene_and_by_its_task(held: House) -> None:
    (job_id,) = await _ordered(held, "A lamp")
    studio = held.service.studio
    (scene,) = (await studio.job(job_id)).snapshot.scenes
    assert (await studio.job_with(scene_id=scene.id)).snapshot.job.id == job_id
    assert (await studio.job_with(task_id=scene.task_id)).snapshot.job.id == job_id
    for nothing in ({"scene_id": scene.task_id}, {"task_id": scene.id}, {}):
        with pytest.raises(NotFound):
            await studio.job_with(**nothing)


@pytest.mark.parametrize(
    "order",
    [
        _order("x"),
        _order("x" * 10_001),
        _order(model="no:such@1"),
        _order(model="google:3@3"),
        _order(frames=Frames(last="http://x/i.png")),
        _order(frames=Frames(references=("http://x/1", "http://x/2", "http://x/3", "http://x/4"))),
    ],
    ids=[
        "too short",
        "too long",
        "unheard of",
        "another provider's",
        "end frame alone",
        "too many references",
    ],
)
async def test_what_cannot_be_made_costs_nothing_and_leaves_nothing(local: House, order: Order) -> None:
    with pytest.raises(UnsupportedByModel):
        _clips(local).check(order)
    with pytest.raises(UnsupportedByModel):
        await _clips(local).order(order, "ann", _request())
    assert _nothing_is_on_record(local)
    assert sql(local.service.production.database, "SELECT * FROM charges") == []


async def test_who_cannot_pay_gets_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    async with open_house(settings_for(tmp_path, {"credits": {"opening_tokens": 49}})) as house:
        with pytest.raises(InsufficientCredit) as refused:
            await _clips(house).order(_order(), "ann", _request())
        assert (refused.value.cost, refused.value.available) == (50, 49)
        assert _nothing_is_on_record(house)
        for table in ("accounts", "holds", "charges"):
            assert sql(house.service.production.database, f"SELECT * FROM {table}") == []


@pytest.mark.parametrize(
    ("order", "price"),
    [
        (_order(), 50),
        (_order(frames=Frames(first="http://x/i.png")), 50),
        (_order(terms="credits"), 10),
        (_order(terms="credits", frames=Frames(first="http://x/i.png")), 8),
        (_order(terms="credits", frames=Frames(references=("http://x/i.png",))), 10),
        (_order(terms="gallery"), 0),
        (_order(terms="of long ago"), 0),
    ],
    ids=["text", "image", "credits text", "credits image", "references only", "free", "forgotten terms"],
)
def test_prices(tmp_path: Path, order: Order, price: int) -> None:
    clips = Clips(None, None, settings_for(tmp_path), lambda: NOW)  # type: ignore[arg-type]
    assert clips.price(order) == price


async def test_a_free_order_opens_no_account(local: House) -> None:
    await _ordered(local, "A lamp [[slow 60s]]", terms="gallery")
    assert sql(local.service.production.database, "SELECT * FROM accounts") == []


async def test_who_is_nobody_pays_from_a_common_account(held: House) -> None:
    await _ordered(held, "A lamp", owner=None)
    await _sent(held, next(iter(held.service.live._moving)))
    assert await _balance(held, "anonymous") == (OPENING - 50, 0)


# ---------------------------------------------------------------------- quotas and turns


async def test_of_fifty_orders_at_once_exactly_those_that_fit_are_taken(held: House) -> None:
    outcomes = await asyncio.gather(
        *(_clips(held).order(_order(f"Lamp {number}"), "ann") for number in range(50)), return_exceptions=True
    )
    kinds = Counter(type(outcome) for outcome in outcomes)
    assert kinds == {Ticket: 23, QuotaReached: 27}
    database = held.service.production.database
    assert counts(database)["jobs"] == counts(database)["scenes"] == 23
    assert sql(database, "SELECT count(*) FROM charges WHERE kind = 'hold'") == [(23,)]
    assert await database.discrepancies() == []
    assert sum(await _balance(held)) <= OPENING
    others = await _clips(held).order(_order(), "bob")
    assert not others.joined, "somebody else's jobs do not count"
    await _ordered(held, "A lamp", terms="credits")


async def test_three_run_and_the_others_wait_in_order(held: House, wire: RunwareServer) -> None:
    jobs = await _ordered(held, *(f"Lamp {number}." for number in range(6)))
    for job_id in jobs[3:]:
        await _told(held, job_id, "Waiting for one of the 3 jobs")
    await wire.wait_for_charges(3)
    places = [held.service.studio.outlook(await held.service.studio.job(it)) for it in jobs[3:]]
    assert [outlook.scenes[it].queue_position for outlook, it in zip(places, jobs[3:], strict=True)] == [
        1,
        2,
        3,
    ]
    for number in range(3):
        wire.release(f"Lamp {number}.")
        await _ended(held, jobs[number])
        await wire.wait_for_charges(4 + number)
    assert [charge.prompt for charge in wire.charges[3:]] == ["Lamp 3.", "Lamp 4.", "Lamp 5."]


async def test_a_waiting_job_that_is_cancelled_costs_nothing_and_makes_room(
    held: House, wire: RunwareServer
) -> None:
    jobs = await _ordered(held, *(f"Lamp {number}." for number in range(23)))
    await wire.wait_for_charges(3)
    await held.service.studio.cancel(jobs[3])
    assert (await _ended(held, jobs[3])).job.state is JobState.CANCELLED
    (late,) = await _ordered(held, "The last lamp")
    with pytest.raises(QuotaReached):
        await _ordered(held, "One too many")
    for job_id in (*jobs[4:], late):
        await held.service.studio.cancel(job_id)
    wire.release()
    for job_id in jobs[:3]:
        await _ended(held, job_id)
    assert await _balance(held) == (OPENING - 150, 0)
    assert len(wire.charges) == 3
    assert await held.service.production.database.discrepancies() == []


async def test_a_job_that_is_cancelled_under_way_gives_its_turn_to_the_next(
    held: House, wire: RunwareServer
) -> None:
    jobs = await _ordered(held, *(f"Lamp {number}." for number in range(4)))
    await wire.wait_for_charges(3)
    await _sent(held, jobs[0])
    snapshot = await held.service.studio.cancel(jobs[0])
    assert snapshot.scenes[0].owed
    await wire.wait_for_charges(4)
    wire.release("Lamp 0.")
    async with asyncio.timeout(20):
        late = await held.service.live.until(jobs[0], lambda it: it.scenes[0].settled)
    assert (late.scenes[0].state, late.scenes[0].stage) == (SceneState.CANCELLED, Stage.COMPLETE)


async def test_after_a_restart_what_is_under_way_goes_on_and_the_others_still_wait(
    tmp_path: Path, wire: RunwareServer
) -> None:
    settings = settings_for(tmp_path, runware_layer(wire))
    wire.script_default(Script(hold=True))
    async with open_house(settings) as house:
        jobs = await _ordered(house, *(f"Lamp {number}." for number in range(6)))
        await wire.wait_for_charges(3)
        for job_id in jobs[:3]:
            await _sent(house, job_id)
    async with open_house(settings) as house:
        for job_id in jobs[3:]:
            await _told(house, job_id, "Waiting for one of the 3 jobs")
        assert len(wire.charges) == 3
        for number in range(3):
            wire.release(f"Lamp {number}.")
            await _ended(house, jobs[number])
            await wire.wait_for_charges(4 + number)
        wire.release()
        for job_id in jobs:
            assert (await _ended(house, job_id)).job.state is JobState.SUCCEEDED
    assert [charge.prompt for charge in wire.charges[3:]] == ["Lamp 3.", "Lamp 4.", "Lamp 5."]


async def test_after_a_restart_an_older_job_that_waits_does_not_pass_those_under_way(
    tmp_path: Path, wire: RunwareServer
) -> None:
    """A task that fails is ordered again, and then its job is the oldest, and in the queue."""
    limits = {
        "terms": {"video_jobs": {"running": 1, "waiting": 9}},
        "retries": {"most": 1, "codes": ["provider"], "pause_seconds": 0.01},
    }
    settings = settings_for(tmp_path, runware_layer(wire), limits)
    failing = Script(hold=True, fail_code="providerError", fail_message="down")
    wire.script("oldest", failing, Script(hold=True))
    wire.script_default(Script(hold=True))
    async with open_house(settings) as house:
        oldest, younger = await _ordered(house, "The oldest lamp", "A younger lamp")
        await _told(house, younger, "Waiting for one of the 1 jobs")
        await wire.wait_for_charges(1)
        wire.release("oldest")
        await _sent(house, younger)
        await _told(house, oldest, "Waiting for one of the 1 jobs")
    async with open_house(settings) as house:
        await _told(house, oldest, "Waiting for one of the 1 jobs")
        assert len(wire.charges) == 2
        wire.release("younger")
        await _ended(house, younger)
        await wire.wait_for_charges(3)
        wire.release("oldest")
        assert (await _ended(house, oldest)).job.state is JobState.SUCCEEDED


async def test_another_limit_counts_from_the_next_start(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    layers = [{"terms": {"video_jobs": {"running": most, "waiting": 9}}} for most in (1, 2)]
    async with open_house(settings_for(tmp_path, runware_layer(wire), layers[0])) as house:
        jobs = await _ordered(house, "Lamp 0.", "Lamp 1.", "Lamp 2.")
        await wire.wait_for_charges(1)
        await _told(house, jobs[1], "Waiting for one of the 1 jobs")
    async with open_house(settings_for(tmp_path, runware_layer(wire), layers[1])) as house:
        await wire.wait_for_charges(2)
        await _told(house, jobs[2], "Waiting for one of the 2 jobs")
    assert [charge.prompt for charge in wire.charges] == ["Lamp 0.", "Lamp 1."]


# ---------------------------------------------------------------------- the same request again


async def test_the_same_request_leads_to_the_same_job(held: House) -> None:
    request = _request()
    first = await _clips(held).order(_order(), "ann", request)
    database = held.service.production.database
    known = await database.request("ann", "key")
    assert known is not None
    assert known.subject == first.job_id
    for again in (request, known):  # of which one was looked up before the order was on record
        assert await _clips(held).order(_order(), "ann", again) == first
    assert counts(database)["jobs"] == 1
    assert sum(await _balance(held)) in (OPENING, OPENING - 50)
    assert sql(database, "SELECT count(*) FROM charges WHERE kind = 'hold'") == [(1,)]


async def test_the_same_request_many_times_at_once_is_one_job(held: House) -> None:
    tickets = await asyncio.gather(*(_clips(held).order(_order(), "ann", _request()) for _ in range(20)))
    assert len({ticket.job_id for ticket in tickets}) == 1
    assert sql(held.service.production.database, "SELECT count(*) FROM charges WHERE kind = 'hold'") == [(1,)]


async def test_a_repetition_is_no_further_job_where_there_is_room_for_none(held: House) -> None:
    first = await _clips(held).order(_order(), "ann", _request())
    await _ordered(held, *(f"Lamp {number}" for number in range(22)))
    with pytest.raises(QuotaReached):
        await _clips(held).order(_order(), "ann", _request("another"))
    assert await _clips(held).order(_order(), "ann", _request()) == first


async def test_a_refused_request_may_be_repeated_when_there_is_room(held: House) -> None:
    jobs = await _ordered(held, *(f"Lamp {number}" for number in range(23)))
    with pytest.raises(QuotaReached):
        await _clips(held).order(_order(), "ann", _request())
    await held.service.studio.cancel(jobs[-1])
    assert not (await _clips(held).order(_order(), "ann", _request())).joined


async def test_a_repetition_after_a_crash_finds_the_job(tmp_path: Path, wire: RunwareServer) -> None:
    settings = settings_for(tmp_path, runware_layer(wire))
    wire.script_default(Script(hold=True))
    async with open_house(settings) as house:
        first = await _clips(house).order(_order(), "ann", _request())
        await wire.wait_for_charges(1)
    async with open_house(settings) as house:
        assert await _clips(house).order(_order(), "ann", _request()) == first
        wire.release()
        await _ended(house, first.job_id)
    assert len(wire.charges) == 1


async def test_an_order_whose_commit_is_reported_as_lost_is_run_all_the_same(
    held: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = held.service.production.database
    create = database.create_job

    async def lost(*arguments: Any, **more: Any) -> JobSnapshot:
        await create(*arguments, **more)
        raise StoreUnavailable

    monkeypatch.setattr(database, "create_job", lost)
    ticket = await _clips(held).order(_order(), "ann")
    await _sent(held, ticket.job_id)


async def test_a_repetition_of_an_order_whose_job_was_deleted_finds_nothing(held: House) -> None:
    ticket = await _clips(held).order(_order(), "ann", _request())
    await held.service.studio.delete(ticket.job_id)
    with pytest.raises(NotFound):
        await _clips(held).order(_order(), "ann", _request())
    assert counts(held.service.production.database)["jobs"] == 1


# ---------------------------------------------------------------------- previews


async def test_a_mocked_order_is_made_here_and_nothing_is_sent(paid: House, wire: RunwareServer) -> None:
    assert not _clips(paid).fetches_images(mock=True)
    assert _clips(paid).fetches_images(mock=False)
    image = await paid.service.production.uploads.keep(JPEG)
    (job_id,) = await _ordered(paid, "A lamp", mock=True, frames=Frames(first=image))
    snapshot = await _ended(paid, job_id)
    assert snapshot.job.state is JobState.SUCCEEDED
    assert (snapshot.scenes[0].provider, snapshot.scenes[0].model) == ("local", "local:preview@1")
    assert (wire.submits, wire.downloads) == ([], [])


async def test_a_mocked_order_goes_on_after_a_restart(tmp_path: Path, wire: RunwareServer) -> None:
    settings = settings_for(tmp_path, runware_layer(wire))
    async with open_house(settings) as house:
        (job_id,) = await _ordered(house, "A lamp [[slow 60s]]", mock=True)
        await _sent(house, job_id)
        database = house.service.production.database
        sql(database, "UPDATE scenes SET prompt = 'A lamp'")
    async with open_house(settings) as house:
        assert (await _ended(house, job_id)).job.state is JobState.SUCCEEDED
    assert wire.submits == []


async def test_the_terms_model_is_for_real_videos(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    terms = {"terms": {"video_jobs": {"model": "google:3@3"}}}
    async with open_house(settings_for(tmp_path, runware_layer(wire), terms)) as house:
        (real,) = await _ordered(house, "A lamp")
        (preview,) = await _ordered(house, "A lamp [[slow 60s]]", mock=True)
        models = [(await house.service.studio.job(it)).snapshot.scenes[0].model for it in (real, preview)]
        assert models == ["google:3@3", "local:preview@1"]


# ---------------------------------------------------------------------- another configuration


async def _parked(house: House) -> None:
    async with asyncio.timeout(10):
        while not house.service.production.runner.parked:
            await asyncio.sleep(0.01)


async def test_a_clip_begun_with_a_provider_waits_for_it(tmp_path: Path, wire: RunwareServer) -> None:
    paid, free = settings_for(tmp_path, runware_layer(wire)), settings_for(tmp_path)
    wire.script_default(Script(hold=True))
    async with open_house(paid) as house:
        (job_id,) = await _ordered(house, "A lamp")
        await wire.wait_for_charges(1)
    async with open_house(free) as house:
        await _parked(house)
        assert not (await house.service.studio.job(job_id)).snapshot.job.closed
        turns = house.service.production.runner._turns
        assert turns._lines == {}, "who cannot go on keeps nobody waiting"
    wire.release()
    async with open_house(paid) as house:
        assert (await _ended(house, job_id)).job.state is JobState.SUCCEEDED
    assert len(wire.charges) == 1


async def test_a_clip_that_is_made_needs_no_provider_to_be_fetched(
    tmp_path: Path, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid, free = settings_for(tmp_path, runware_layer(wire)), settings_for(tmp_path)
    async with open_house(paid) as house:
        apply = house.service.production.database.apply

        async def stop_at_generated(transition: Transition) -> Job | None:
            job = await apply(transition)
            if transition.event and transition.event.kind is EventKind.GENERATED:
                await asyncio.Event().wait()
            return job

        monkeypatch.setattr(house.service.production.database, "apply", stop_at_generated)
        (job_id,) = await _ordered(house, "A lamp")
        async with asyncio.timeout(10):
            while sql(house.service.production.database, "SELECT stage FROM scenes") != [("generated",)]:
                await asyncio.sleep(0.01)
    async with open_house(free) as house:
        assert (await _ended(house, job_id)).job.state is JobState.SUCCEEDED
    assert len(wire.charges) == 1


# ---------------------------------------------------------------------- images


def _reads(house: House, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of images as they are read."""
    found: list[str] = []
    uploads = house.service.production.uploads
    read = uploads.read

    async def counted(name: str) -> bytes:
        found.append(name)
        return await read(name)

    monkeypatch.setattr(uploads, "read", counted)
    return found


async def test_images_go_along_as_data_and_addresses_as_they_are(
    held: House, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = _reads(held, monkeypatch)
    first = await held.service.production.uploads.keep(JPEG)
    address = "https://images.example.com/i.png"
    await _ordered(held, "A lamp", model="google:3@3", frames=Frames(first=first, last=address))
    (sent,) = await wire.wait_for_submits(1)
    data = f"data:image/jpeg;base64,{base64.b64encode(JPEG).decode()}"
    assert sent["inputs"]["frameImages"] == [
        {"image": data, "frame": "first"},
        {"image": address, "frame": "last"},
    ]
    assert reads == [first]


async def test_an_image_is_read_once_for_each_submission_and_not_while_it_waits(
    tmp_path: Path, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.script("busy", Script(refuse_code="providerRateLimitExceeded"), Script(hold=True))
    wire.script_default(Script(hold=True))
    async with open_house(settings_for(tmp_path, runware_layer(wire), {"limits": {"slots": 1}})) as house:
        reads = _reads(house, monkeypatch)
        image = await house.service.production.uploads.keep(JPEG)
        (job_id,) = await _ordered(house, "A busy lamp", frames=Frames(first=image))
        await _sent(house, job_id)
        assert (len(wire.submits), reads) == (2, [image, image])
        (waiting,) = await _ordered(house, "Another lamp", frames=Frames(first=image))
        slots = house.service.studio._outlooks._slots
        async with asyncio.timeout(10):
            while slots.place(waiting) is None:
                await asyncio.sleep(0.01)
        assert len(reads) == 2


async def test_an_image_that_has_vanished_fails_the_order_which_then_costs_nothing(
    held: House, wire: RunwareServer
) -> None:
    uploads = held.service.production.uploads
    gone = await uploads.keep(JPEG)
    (uploads.folder / gone).unlink()
    (job_id,) = await _ordered(held, "A lamp", frames=Frames(first=gone))
    failure = (await _ended(held, job_id)).scenes[0].failure
    assert failure is not None
    assert (failure.code, failure.retryable) == ("image_gone", False)
    assert failure.message == "An image of this order is not there any more; order it again"
    assert wire.submits == []
    assert await _balance(held) == (OPENING, 0)


async def test_an_image_that_vanishes_after_the_task_has_left_is_no_failure(
    tmp_path: Path, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop between the submission and its record: the provider has the task, and it is paid for."""
    settings = settings_for(tmp_path, runware_layer(wire))
    async with open_house(settings) as house:
        production = house.service.production
        apply = production.database.apply

        async def stop_before_sent(transition: Transition) -> Job | None:
            if transition.event and transition.event.kind is EventKind.SENT:
                await asyncio.Event().wait()
            return await apply(transition)

        monkeypatch.setattr(production.database, "apply", stop_before_sent)
        image = await production.uploads.keep(JPEG)
        (job_id,) = await _ordered(house, "A lamp", frames=Frames(first=image))
        await wire.wait_for_charges(1)
        (production.uploads.folder / image).unlink()
    async with open_house(settings) as house:
        assert (await _ended(house, job_id)).job.state is JobState.SUCCEEDED
    assert len(wire.charges) == 1


async def test_images_of_unfinished_jobs_outlive_a_restart(tmp_path: Path, wire: RunwareServer) -> None:
    limits = {"terms": {"video_jobs": {"running": 1, "waiting": 9}}}
    settings = settings_for(tmp_path, runware_layer(wire), limits)
    wire.script_default(Script(hold=True))
    async with open_house(settings) as house:
        uploads = house.service.production.uploads
        names = [await uploads.keep(JPEG + bytes([number])) for number in range(4)]
        needed = Frames(first=names[0], last=names[1], references=(names[2],))
        _, waiting = await _ordered(house, "Lamp 0.", "Lamp 1.", model="google:3@3", frames=needed)
        await wire.wait_for_charges(1)
        for name in names:
            os.utime(uploads.folder / name, (0, 0))
    async with open_house(settings) as house:
        await house.service.production.sweep_uploads()
        wire.script_default(Script())
        wire.release()
        assert (await _ended(house, waiting)).job.state is JobState.SUCCEEDED
        left = {file.name for file in house.service.production.uploads.folder.iterdir()}
    assert left == set(names[:3])
