"""The front door: what is refused, what is joined, what is started."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from service.drafts import Drafts
from service.estimates import Estimates
from service.execution.embedded import EmbeddedExecutor
from service.limits import Slots
from service.live import Live
from service.outlook import Outlooks
from service.providers.catalogue import Catalogue
from service.studio import Studio, Ticket
from service.turns import Turns
from service.writers.base import Writer
from service.writers.template import TemplateWriter
from sessions import lifecycle
from sessions.clock import utc_now
from sessions.database import Database
from sessions.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    NotReady,
    ScenewrightError,
    Stopping,
    UnsupportedByModel,
    WriterFailed,
)
from sessions.model import (
    Brief,
    Job,
    JobSnapshot,
    JobState,
    Scenario,
    Scene,
    SceneDescription,
    SceneFailure,
    SceneState,
    Session,
)
from sessions.viewer import EVERYTHING, Viewer
from tests.house import settings_for

BRIEF = Brief(product="Lamp")
DESCRIPTIONS = tuple(
    SceneDescription(scenario=scenario, description=f"A calm {scenario} shot", approved=True)
    for scenario in Scenario
)


@dataclass(kw_only=True)
class Rig:
    """A studio whose jobs are taken up, and then wait."""

    database: Database
    live: Live
    studio: Studio
    taken_up: list[str] = field(default_factory=list)

    async def session(
        self, descriptions: Sequence[SceneDescription] = DESCRIPTIONS, brief: Brief = BRIEF
    ) -> str:
        return (await self.studio.drafts.create_session(brief, descriptions)).id

    async def description(self, session_id: str, scenario: Scenario = Scenario.HOOK) -> SceneDescription:
        return _plain((await self.studio.drafts.session(session_id)).descriptions[scenario])

    async def fail(self, job_id: str, *scenarios: Scenario) -> None:
        """Scenes come to their end."""
        for scene in (await self.studio.job(job_id)).snapshot.scenes:
            if scene.scenario in scenarios:
                change = lifecycle.fail(scene, SceneFailure(code="x", message="x", retryable=True), utc_now())
                self.live.show(change.after, await self.database.apply(change))

    async def stored(self, job_id: str) -> JobSnapshot:
        snapshot = await self.database.job(job_id)
        assert snapshot is not None
        return snapshot

    async def nothing_was_started(self, session_id: str) -> bool:
        return await self.studio.jobs_of(session_id) == [] and self.taken_up == []


def _studio(rig: Rig, folder: Path, executor: EmbeddedExecutor, writer: Writer | None = None) -> Studio:
    settings = settings_for(folder)
    catalogue = Catalogue(settings)
    return Studio(
        store=rig.database,
        live=rig.live,
        outlooks=Outlooks(
            slots=Slots(settings.limits, {}), turns=Turns(), estimates=Estimates(), now=utc_now
        ),
        executor=executor,
        catalogue=catalogue,
        drafts=Drafts(
            store=rig.database, catalogue=catalogue, writer=writer or TemplateWriter(), now=utc_now
        ),
        now=utc_now,
    )


def _plain(description: SceneDescription) -> SceneDescription:
    """What it says, whatever its version."""
    return replace(description, version=0)


class _HeldWriter:
    """Writes when it is told to."""

    name = "held"

    def __init__(self) -> None:
        self.calls: list[tuple[Scenario, ...]] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def write(
        self,
        brief: Brief,
        scenarios: Sequence[Scenario],
        *,
        wish: str | None = None,
        variant: int = 0,
        longest: int = 0,
    ) -> Mapping[Scenario, str]:
        self.calls.append(tuple(scenarios))
        number = len(self.calls)
        await self.go.wait()
        if self.error:
            raise self.error
        return dict.fromkeys(scenarios, f"Text {number}")


@pytest.fixture
async def executor() -> AsyncIterator[tuple[EmbeddedExecutor, list[str]]]:
    taken_up: list[str] = []

    async def run_job(job_id: str) -> None:
        taken_up.append(job_id)
        await asyncio.Event().wait()

    executor = EmbeddedExecutor(run_job, lambda _: None)
    yield executor, taken_up
    await executor.stop()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def held() -> _HeldWriter:
    return _HeldWriter()


@pytest.fixture
def rig(database: Database, executor: tuple[EmbeddedExecutor, list[str]], tmp_path: Path) -> Rig:
    rig = Rig(database=database, live=Live(), studio=None, taken_up=executor[1])  # type: ignore[arg-type]
    rig.studio = _studio(rig, tmp_path, executor[0])
    return rig


@pytest.fixture
def writing(rig: Rig, executor: tuple[EmbeddedExecutor, list[str]], tmp_path: Path, held: _HeldWriter) -> Rig:
    """The rig with a writer that waits."""
    rig.studio = _studio(rig, tmp_path, executor[0], held)
    return rig


async def _turns(count: int = 50) -> None:
    """Let everything that can run now run (not: let time pass)."""
    for _ in range(count):
        await asyncio.sleep(0)


async def _writes_waiting(database: Database, count: int) -> None:
    """Until so many writes stand in line, or it is clear that they never will."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            while database._writes._queue.qsize() < count:
                await asyncio.sleep(0)


async def _at_once(database: Database, *work: Coroutine[Any, Any, object]) -> list[object]:
    """All of ``work``, each having read before any of it writes; they write in their order."""
    started: list[asyncio.Task[object]] = []
    go = threading.Event()
    holding = asyncio.create_task(database._writes.run(lambda _: go.wait(10)))
    await _writes_waiting(database, 0)
    try:
        for item in work:
            started.append(asyncio.create_task(item))
            await _writes_waiting(database, len(started))
    finally:
        go.set()
    async with asyncio.timeout(5):
        await holding
        return list(await asyncio.gather(*started, return_exceptions=True))


# ---------------------------------------------------------------------- sessions


async def test_what_the_model_cannot_do_makes_no_session(rig: Rig) -> None:
    for brief in (
        Brief(product="Lamp", model="no:such@1"),
        Brief(product="Lamp", model="google:3@3"),
        Brief(product="Lamp", aspect_ratio="4:3"),
        Brief(product="Lamp", seconds_per_scene=61),
    ):
        with pytest.raises(UnsupportedByModel):
            await rig.studio.drafts.create_session(brief)
    too_long = SceneDescription(scenario=Scenario.HOOK, description="x" * 10_001)
    with pytest.raises(UnsupportedByModel, match="10001 characters"):
        await rig.session([too_long])
    assert await rig.studio.drafts.sessions(limit=10, offset=0) == ([], 0)


async def test_a_session_is_found_again_and_another_is_not(rig: Rig) -> None:
    made = await rig.studio.drafts.create_session(BRIEF, DESCRIPTIONS)
    found = await rig.studio.drafts.session(made.id)
    assert (found.id, found.brief, found.created_at) == (made.id, BRIEF, made.created_at)
    assert tuple(map(_plain, found.descriptions.values())) == DESCRIPTIONS
    with pytest.raises(NotFound) as missing:
        await rig.studio.drafts.session("x" * 1000)
    assert missing.value.details == {"session_id": "x" * 64}


# ---------------------------------------------------------------------- descriptions and approval


async def test_changed_content_needs_a_new_approval(rig: Rig) -> None:
    session_id = await rig.session()
    edited = await rig.studio.drafts.edit_description(session_id, Scenario.HOOK, {"lighting": "Dim"})
    assert (edited.approved, edited.description) == (False, "A calm hook shot")
    assert await rig.description(session_id) == _plain(edited)
    assert (await rig.description(session_id, Scenario.CTA)).approved, "others keep theirs"


@pytest.mark.parametrize("changes", [{}, {"description": "A calm hook shot"}, {"lighting": None}])
async def test_an_edit_that_changes_nothing_keeps_the_approval(rig: Rig, changes: dict[str, Any]) -> None:
    session_id = await rig.session()
    edited = await rig.studio.drafts.edit_description(session_id, Scenario.HOOK, changes)
    assert _plain(edited) == DESCRIPTIONS[0]
    assert await rig.description(session_id) == DESCRIPTIONS[0]


async def test_an_edit_can_bring_its_approval_along_or_take_it_back(rig: Rig) -> None:
    session_id = await rig.session()
    for approved in (True, False, True):
        changes = {"description": f"New, {approved}", "approved": approved}
        assert (
            await rig.studio.drafts.edit_description(session_id, Scenario.HOOK, changes)
        ).approved is approved
    assert (await rig.description(session_id)).description == "New, True"


@pytest.mark.parametrize("text", ["description", "visual_description"])
async def test_a_description_alone_is_a_complete_scene(rig: Rig, text: str) -> None:
    session_id = await rig.session(())
    for scenario in Scenario:
        await rig.studio.drafts.edit_description(session_id, scenario, {text: "A lamp", "approved": True})
    ticket = await rig.studio.generate(session_id)
    scenes = (await rig.studio.job(ticket.job_id)).snapshot.scenes
    assert [scene.prompt for scene in scenes] == ["A lamp"] * 4


async def test_details_alone_are_a_draft_and_cannot_be_approved(rig: Rig) -> None:
    session_id = await rig.session(())
    draft = {"description": " \n", "lighting": "Dim"}
    await rig.studio.drafts.edit_description(session_id, Scenario.HOOK, draft)
    with pytest.raises(InvalidInput) as refused:
        await rig.studio.drafts.edit_description(session_id, Scenario.HOOK, {"approved": True})
    assert refused.value.details == {"field": "description", "scenario": "hook"}
    with pytest.raises(NotReady, match="hook"):
        await rig.studio.drafts.approve(session_id, [Scenario.HOOK])
    assert (await rig.description(session_id)).approved is False


async def test_an_approved_description_cannot_be_emptied_with_its_approval(rig: Rig) -> None:
    session_id = await rig.session()
    with pytest.raises(InvalidInput):
        await rig.studio.drafts.edit_description(
            session_id, Scenario.HOOK, {"description": "", "approved": True}
        )
    assert await rig.description(session_id) == DESCRIPTIONS[0]
    emptied = await rig.studio.drafts.edit_description(session_id, Scenario.HOOK, {"description": ""})
    assert emptied.approved is False


async def test_approving_names_all_that_is_missing_and_approves_nothing(rig: Rig) -> None:
    present = SceneDescription(scenario=Scenario.PROBLEM, description="A problem")
    session_id = await rig.session([present])
    with pytest.raises(NotReady) as refused:
        await rig.studio.drafts.approve(session_id, tuple(Scenario))
    assert refused.value.details == {"missing": ["hook", "solution", "cta"]}
    assert await rig.description(session_id, Scenario.PROBLEM) == present


async def test_an_edit_that_the_model_cannot_film_is_refused_and_not_kept(rig: Rig) -> None:
    session_id = await rig.session()
    for changes, place in (({"duration": 99.0}, "duration"), ({"description": "x" * 10_001}, "description")):
        with pytest.raises(UnsupportedByModel) as refused:
            await rig.studio.drafts.edit_description(session_id, Scenario.HOOK, changes)
        assert refused.value.details["field"] == place
    assert await rig.description(session_id) == DESCRIPTIONS[0]


async def test_an_edit_is_not_undone_by_an_approval_at_the_same_time(rig: Rig) -> None:
    session_id = await rig.session()
    edited, _ = await _at_once(
        rig.database,
        rig.studio.drafts.edit_description(session_id, Scenario.HOOK, {"description": "The new text"}),
        rig.studio.drafts.approve(session_id, tuple(Scenario)),
    )
    assert isinstance(edited, SceneDescription)
    assert (await rig.description(session_id)).description == "The new text"


async def test_of_two_edits_at_the_same_time_none_is_lost_in_silence(rig: Rig) -> None:
    session_id = await rig.session()
    lighting, camera = await _at_once(
        rig.database,
        rig.studio.drafts.edit_description(session_id, Scenario.HOOK, {"lighting": "Dim"}),
        rig.studio.drafts.edit_description(session_id, Scenario.HOOK, {"camera_work": "Still"}),
    )
    found = await rig.description(session_id)
    for outcome, kept in ((lighting, found.lighting == "Dim"), (camera, found.camera_work == "Still")):
        assert kept or isinstance(outcome, ScenewrightError)
    assert found.lighting or found.camera_work


# ---------------------------------------------------------------------- generating


async def test_missing_descriptions_are_named_and_nothing_is_started(rig: Rig) -> None:
    session_id = await rig.session(DESCRIPTIONS[:2])
    with pytest.raises(NotReady, match="missing: solution, cta") as refused:
        await rig.studio.generate(session_id)
    assert refused.value.details == {"missing": ["solution", "cta"]}
    await _turns()
    assert await rig.nothing_was_started(session_id)


async def test_unapproved_descriptions_are_named_and_nothing_is_started(rig: Rig) -> None:
    session_id = await rig.session()
    for scenario in (Scenario.CTA, Scenario.HOOK):
        await rig.studio.drafts.edit_description(session_id, scenario, {"approved": False})
    with pytest.raises(NotReady, match="not approved yet: hook, cta") as refused:
        await rig.studio.generate(session_id)
    assert refused.value.details == {"unapproved": ["hook", "cta"]}
    await _turns()
    assert await rig.nothing_was_started(session_id)


async def test_one_scene_can_be_made_while_others_are_not_ready(rig: Rig) -> None:
    session_id = await rig.session(DESCRIPTIONS[:1])
    ticket = await rig.studio.regenerate(session_id, Scenario.HOOK)
    assert (ticket.scenes, ticket.joined) == (1, False)
    with pytest.raises(NotReady, match="cta"):
        await rig.studio.regenerate(session_id, Scenario.CTA)


async def test_a_started_job_is_on_disk_shown_and_taken_up(rig: Rig) -> None:
    session_id = await rig.session()
    ticket = await rig.studio.generate(session_id)
    await _turns()
    stored = await rig.database.job(ticket.job_id)
    assert stored == (await rig.studio.job(ticket.job_id)).snapshot
    assert rig.taken_up == [ticket.job_id]
    assert [job.id for job in await rig.studio.jobs_of(session_id)] == [ticket.job_id]


async def test_the_brief_and_the_description_decide_the_shot(rig: Rig) -> None:
    brief = Brief(product="Lamp", aspect_ratio="9:16", seconds_per_scene=3)
    longer = SceneDescription(
        scenario=Scenario.CTA, description="Buy", duration=7, camera_work="Still", approved=True
    )
    session_id = await rig.session([*DESCRIPTIONS[:3], longer], brief)
    ticket = await rig.studio.generate(session_id)
    hook, *_, cta = (await rig.studio.job(ticket.job_id)).snapshot.scenes
    assert (hook.width, hook.height, hook.seconds) == (144, 256, 3)
    assert (cta.width, cta.height, cta.seconds, cta.prompt) == (144, 256, 7, "Buy\nCamera: Still")
    assert (cta.provider, cta.model, cta.take) == ("local", "local:preview@1", 1)


async def test_of_twenty_simultaneous_presses_one_starts_and_all_get_its_job(rig: Rig) -> None:
    session_id = await rig.session()
    tickets = await asyncio.gather(*(rig.studio.generate(session_id) for _ in range(20)))
    await _turns()
    assert len({ticket.job_id for ticket in tickets}) == 1
    assert Counter(ticket.joined for ticket in tickets) == {True: 19, False: 1}
    assert rig.taken_up == [tickets[0].job_id]
    assert len(await rig.studio.jobs_of(session_id)) == 1


async def test_an_edit_during_the_run_makes_the_next_press_a_conflict(rig: Rig) -> None:
    session_id = await rig.session()
    running = await rig.studio.generate(session_id)
    await rig.studio.drafts.edit_description(
        session_id, Scenario.CTA, {"description": "Another text", "approved": True}
    )
    with pytest.raises(Conflict) as refused:
        await rig.studio.generate(session_id)
    assert refused.value.details == {
        "scenarios": ["cta"],
        "job_ids": [running.job_id],
    }
    with pytest.raises(Conflict, match="cta"):
        await rig.studio.regenerate(session_id, Scenario.CTA)
    again = await rig.studio.regenerate(session_id, Scenario.HOOK)
    assert again == Ticket(job_id=running.job_id, scenes=1, joined=True), "that scene is the same"
    assert len(await rig.studio.jobs_of(session_id)) == 1


async def test_a_regeneration_joins_the_running_job(rig: Rig) -> None:
    session_id = await rig.session()
    running = await rig.studio.generate(session_id)
    ticket = await rig.studio.regenerate(session_id, Scenario.SOLUTION)
    assert ticket == Ticket(job_id=running.job_id, scenes=1, joined=True)


async def test_an_ended_scene_is_made_again_while_the_others_still_run(rig: Rig) -> None:
    session_id = await rig.session()
    running = await rig.studio.generate(session_id)
    await rig.fail(running.job_id, Scenario.PROBLEM)

    ticket = await rig.studio.regenerate(session_id, Scenario.PROBLEM)

    assert (ticket.joined, ticket.scenes) == (False, 1)
    (scene,) = (await rig.studio.job(ticket.job_id)).snapshot.scenes
    assert (scene.scenario, scene.take) == (Scenario.PROBLEM, 2)


async def test_all_four_do_not_join_a_job_of_one(rig: Rig) -> None:
    session_id = await rig.session()
    one = await rig.studio.regenerate(session_id, Scenario.HOOK)
    with pytest.raises(Conflict, match="hook") as refused:
        await rig.studio.generate(session_id)
    assert refused.value.details == {"scenarios": ["hook"], "job_ids": [one.job_id]}


async def test_scenes_of_two_jobs_are_no_job_to_join(rig: Rig) -> None:
    session_id = await rig.session()
    jobs = [(await rig.studio.regenerate(session_id, item)).job_id for item in (Scenario.HOOK, Scenario.CTA)]
    with pytest.raises(Conflict) as refused:
        await rig.studio.generate(session_id)
    assert refused.value.details == {"scenarios": ["hook", "cta"], "job_ids": sorted(jobs)}


async def test_a_closed_job_is_not_joined(rig: Rig) -> None:
    session_id = await rig.session()
    first = await rig.studio.generate(session_id)
    await rig.fail(first.job_id, *Scenario)
    second = await rig.studio.generate(session_id)
    assert (second.joined, second.job_id != first.job_id) == (False, True)
    scenes = (await rig.studio.job(second.job_id)).snapshot.scenes
    assert [scene.take for scene in scenes] == [2, 2, 2, 2]


async def test_a_press_whose_caller_leaves_makes_no_job_that_nobody_runs(rig: Rig) -> None:
    session_id = await rig.session()
    leaving = asyncio.create_task(rig.studio.generate(session_id))
    await _writes_waiting(rig.database, 1)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)

    ticket = await rig.studio.generate(session_id)

    await _turns()
    assert ticket.job_id in rig.taken_up


# ---------------------------------------------------------------------- jobs


async def test_a_job_is_found_in_memory_or_on_disk_or_not_at_all(rig: Rig) -> None:
    session_id = await rig.session()
    ticket = await rig.studio.generate(session_id)
    shown = await rig.studio.job(ticket.job_id)
    assert await rig.studio.job(ticket.job_id) is shown
    rig.live._moving.clear()  # as after a restart
    assert (await rig.studio.job(ticket.job_id)).snapshot == shown.snapshot
    with pytest.raises(NotFound) as missing:
        await rig.studio.job("y" * 1000)
    assert missing.value.details == {"job_id": "y" * 64}


async def test_one_scene_can_be_waited_for(rig: Rig) -> None:
    ticket = await rig.studio.generate(await rig.session())
    waiting = asyncio.create_task(rig.studio.finished_scene(ticket.job_id, Scenario.CTA))
    await rig.fail(ticket.job_id, Scenario.HOOK, Scenario.PROBLEM)
    await _turns()
    assert not waiting.done()
    await rig.fail(ticket.job_id, Scenario.CTA)
    scene: Scene = await waiting
    assert (scene.scenario, scene.state) == (Scenario.CTA, SceneState.FAILED)
    assert (await rig.studio.job(ticket.job_id)).snapshot.job.state is JobState.RUNNING


async def test_who_waits_for_a_scene_is_sent_home_when_the_server_stops(rig: Rig) -> None:
    ticket = await rig.studio.generate(await rig.session())
    waiting = asyncio.create_task(rig.studio.finished_scene(ticket.job_id, Scenario.CTA))
    await _turns()
    rig.live.stop()
    with pytest.raises(Stopping):
        await waiting


# ---------------------------------------------------------------------- the writer


async def test_written_descriptions_are_complete_and_await_approval(rig: Rig) -> None:
    session = await rig.studio.drafts.write_descriptions(await rig.session(()))
    assert list(session.descriptions) == list(Scenario)
    assert all(item.complete and not item.approved for item in session.descriptions.values())


async def test_rewriting_one_scene_follows_the_wish_and_leaves_the_others(rig: Rig) -> None:
    session_id = await rig.session()
    session = await rig.studio.drafts.rewrite_description(session_id, Scenario.PROBLEM, "more rain")
    assert "ore rain" in session.descriptions[Scenario.PROBLEM].description
    assert not session.descriptions[Scenario.PROBLEM].approved
    assert _plain(session.descriptions[Scenario.HOOK]) == DESCRIPTIONS[0]


async def test_each_further_press_brings_another_text(rig: Rig) -> None:
    session_id = await rig.session(())
    texts = [
        (await rig.studio.drafts.write_descriptions(session_id)).descriptions[Scenario.HOOK].description
        for _ in range(3)
    ]
    assert texts[0] != texts[1]
    assert texts[1] != texts[2]


async def test_a_second_press_joins_the_writer_at_work(writing: Rig, held: _HeldWriter) -> None:
    session_id = await writing.session(())
    presses = [asyncio.create_task(writing.studio.drafts.write_descriptions(session_id)) for _ in range(10)]
    await asyncio.sleep(0)
    held.go.set()
    found = await asyncio.gather(*presses)
    assert held.calls == [tuple(Scenario)]
    assert all(session == found[0] for session in found)
    assert found[0].descriptions[Scenario.CTA].description == "Text 1"


async def test_a_later_press_writes_anew(writing: Rig, held: _HeldWriter) -> None:
    held.go.set()
    session_id = await writing.session(())
    for number in (1, 2):
        session = await writing.studio.drafts.write_descriptions(session_id)
        assert session.descriptions[Scenario.HOOK].description == f"Text {number}"


async def test_other_scenes_and_other_sessions_are_written_apart(writing: Rig, held: _HeldWriter) -> None:
    held.go.set()
    one, two = await writing.session(()), await writing.session(())
    await asyncio.gather(
        writing.studio.drafts.rewrite_description(one, Scenario.HOOK, None),
        writing.studio.drafts.rewrite_description(one, Scenario.CTA, None),
        writing.studio.drafts.write_descriptions(two),
    )
    assert Counter(held.calls) == {(Scenario.HOOK,): 1, (Scenario.CTA,): 1, tuple(Scenario): 1}


async def test_who_leaves_does_not_stop_the_writing_for_others(writing: Rig, held: _HeldWriter) -> None:
    session_id = await writing.session(())
    leaving, staying = (
        asyncio.create_task(writing.studio.drafts.write_descriptions(session_id)) for _ in range(2)
    )
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    held.go.set()
    session: Session = await staying
    assert session.descriptions[Scenario.HOOK].description == "Text 1"


async def test_another_wish_is_another_order(writing: Rig, held: _HeldWriter) -> None:
    held.go.set()
    session_id = await writing.session(())
    await asyncio.gather(
        *(
            writing.studio.drafts.rewrite_description(session_id, Scenario.HOOK, wish)
            for wish in ("rain", "sun")
        ),
        return_exceptions=True,
    )
    assert len(held.calls) == 2


async def test_an_edit_during_the_writing_is_not_overwritten(writing: Rig, held: _HeldWriter) -> None:
    session_id = await writing.session()
    press = asyncio.create_task(writing.studio.drafts.write_descriptions(session_id))
    async with asyncio.timeout(5):
        while not held.calls:
            await asyncio.sleep(0)
    await writing.studio.drafts.edit_description(session_id, Scenario.CTA, {"description": "Mine"})
    held.go.set()
    with pytest.raises(Conflict) as refused:
        await press
    assert refused.value.details == {"scenarios": ["cta"]}
    assert (await writing.description(session_id, Scenario.CTA)).description == "Mine"
    assert await writing.description(session_id) == DESCRIPTIONS[0], "all or nothing"


async def test_closing_ends_what_is_being_written(writing: Rig, held: _HeldWriter) -> None:
    session_id = await writing.session()
    press = asyncio.create_task(writing.studio.drafts.write_descriptions(session_id))
    async with asyncio.timeout(5):
        while not held.calls:
            await asyncio.sleep(0)
        await writing.studio.drafts.close()
        with pytest.raises(asyncio.CancelledError):
            await press
    held.go.set()
    assert await writing.description(session_id) == DESCRIPTIONS[0]


async def test_a_failed_writing_leaves_the_old_texts_and_can_be_tried_again(
    writing: Rig, held: _HeldWriter
) -> None:
    held.go.set()
    held.error = WriterFailed()
    session_id = await writing.session()
    outcomes = await asyncio.gather(
        *(writing.studio.drafts.write_descriptions(session_id) for _ in range(3)), return_exceptions=True
    )
    assert {type(outcome) for outcome in outcomes} == {WriterFailed}
    assert await writing.description(session_id) == DESCRIPTIONS[0]
    held.error = None
    session = await writing.studio.drafts.write_descriptions(session_id)
    assert session.descriptions[Scenario.HOOK].description == "Text 2"


async def test_the_writer_is_not_asked_for_a_session_that_is_not_there(
    writing: Rig, held: _HeldWriter
) -> None:
    with pytest.raises(NotFound):
        await writing.studio.drafts.write_descriptions("nobody")
    assert held.calls == []


# ---------------------------------------------------------------------- deletion


async def _gone(rig: Rig, studio: Studio, job_id: str, session_id: str) -> None:
    """The job is there for nobody, by whichever verb one asks."""
    scene, *_ = (await rig.stored(job_id)).scenes
    for attempt in (
        studio.job(job_id),
        studio.cancel(job_id),
        studio.cancel(job_id, [Scenario.HOOK]),
        studio.delete(job_id),
        studio.resume(job_id),
        studio.finished_scene(job_id, Scenario.HOOK),
        studio.job_with(scene_id=scene.id),
        studio.job_with(task_id=scene.task_id),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert studio.live_job(job_id) is None
    assert await studio.jobs(limit=10, offset=0) == ([], 0)
    assert await studio.jobs_of(session_id) == []


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("viewer", [EVERYTHING, Viewer(owner="ann"), Viewer()], ids=["all", "ann", "nobody"])
async def test_a_deleted_job_is_there_for_nobody(rig: Rig, viewer: Viewer, *, restarted: bool) -> None:
    session_id = await rig.session()
    job_id = (await rig.studio.generate(session_id)).job_id
    await rig.studio.delete(job_id)
    if restarted:
        rig.live._moving.clear()
        rig.live._closed.clear()
    await _gone(rig, rig.studio.seen_by(viewer), job_id, session_id)
    stored = await rig.stored(job_id)
    assert stored.job.deleted_at is not None
    assert {scene.state for scene in stored.scenes} == {SceneState.CANCELLED}


async def test_a_job_that_is_over_is_deleted_as_it_is(rig: Rig) -> None:
    session_id = await rig.session()
    job_id = (await rig.studio.generate(session_id)).job_id
    await rig.fail(job_id, *Scenario)
    before = await rig.stored(job_id)
    await rig.studio.delete(job_id)
    assert (await rig.stored(job_id)).scenes == before.scenes
    await _gone(rig, rig.studio, job_id, session_id)


async def test_who_deletes_a_job_must_see_it(rig: Rig) -> None:
    annes = rig.studio.seen_by(Viewer(owner="ann"))
    session = await annes.drafts.create_session(BRIEF, DESCRIPTIONS)
    job_id = (await annes.generate(session.id)).job_id
    with pytest.raises(NotFound):
        await rig.studio.seen_by(Viewer(owner="bob")).delete(job_id)
    assert (await annes.job(job_id)).snapshot.job.state is JobState.QUEUED


async def test_of_many_who_delete_a_job_at_once_nobody_breaks_anything(rig: Rig) -> None:
    session_id = await rig.session()
    job_id = (await rig.studio.generate(session_id)).job_id
    outcomes = await asyncio.gather(*(rig.studio.delete(job_id) for _ in range(10)), return_exceptions=True)
    assert {type(it) for it in outcomes} <= {type(None), NotFound}
    assert None in outcomes
    await _gone(rig, rig.studio, job_id, session_id)


async def test_what_a_deleted_job_still_owes_comes_and_shows_nothing_of_the_job(rig: Rig) -> None:
    session_id = await rig.session()
    job_id = (await rig.studio.generate(session_id)).job_id
    hook = (await rig.stored(job_id)).scenes[0]
    for verb in (lifecycle.start, lifecycle.sent):
        change = verb(hook, utc_now())
        rig.live.show(change.after, await rig.database.apply(change))
        hook = change.after
    await rig.studio.delete(job_id)
    hook = (await rig.stored(job_id)).scenes[0]
    assert hook.owed
    assert await rig.database.unfinished_jobs() == [job_id], "its provider bills it: it goes on"
    change = lifecycle.fail(hook, SceneFailure(code="x", message="x", retryable=True), utc_now())
    rig.live.show(change.after, await rig.database.apply(change))
    await _gone(rig, rig.studio, job_id, session_id)


async def test_who_waits_for_news_hears_that_a_job_was_cancelled_by_its_deletion(rig: Rig) -> None:
    job_id = (await rig.studio.generate(await rig.session())).job_id
    job = await rig.studio.job(job_id)
    waiting = asyncio.create_task(rig.studio.newer(job, 60))
    await _turns()
    await rig.studio.delete(job_id)
    async with asyncio.timeout(5):
        assert (await waiting).snapshot.job.state is JobState.CANCELLED


async def test_a_job_that_is_read_while_it_is_deleted_does_not_come_back(rig: Rig) -> None:
    job_id = (await rig.studio.generate(await rig.session())).job_id
    for _ in range(20):
        rig.live._moving.clear()
        rig.live._closed.clear()
        readers = [asyncio.create_task(rig.studio.job(job_id)) for _ in range(10)]
        deleting = asyncio.create_task(rig.studio.delete(job_id))
        await asyncio.gather(*readers, deleting, return_exceptions=True)
        assert rig.studio.live_job(job_id) is None


async def test_after_a_deletion_the_scenes_can_be_made_anew(rig: Rig) -> None:
    session_id = await rig.session()
    first = await rig.studio.generate(session_id)
    await rig.studio.delete(first.job_id)
    second = await rig.studio.generate(session_id)
    assert not second.joined
    assert [job.id for job in await rig.studio.jobs_of(session_id)] == [second.job_id]


# ---------------------------------------------------------------------- pages of jobs


async def test_pages_of_jobs_hold_ones_own_newest_first_as_they_are_now(rig: Rig) -> None:
    annes, bobs = (rig.studio.seen_by(Viewer(owner=name)) for name in ("ann", "bob"))
    made = []
    for studio in (annes, annes, annes, bobs):
        session = await studio.drafts.create_session(BRIEF, DESCRIPTIONS)
        made.append((await studio.generate(session.id)).job_id)
    await rig.fail(made[0], *Scenario)

    async def page(studio: Studio, *states: JobState, **how: int) -> tuple[list[str], int]:
        chosen = states or tuple(JobState)
        found, total = await studio.jobs(frozenset(chosen), **{"limit": 10, "offset": 0, **how})
        return [job.snapshot.job.id for job in found], total

    assert await page(annes) == ([made[2], made[1], made[0]], 3)
    assert await page(annes, limit=1, offset=1) == ([made[1]], 3)
    assert await page(annes, JobState.FAILED) == ([made[0]], 1)
    assert await page(annes, JobState.FAILED, JobState.QUEUED, offset=2) == ([made[0]], 3)
    assert await page(annes, offset=99) == ([], 3)
    assert await page(rig.studio) == (made[::-1], 4)
    assert await page(rig.studio.seen_by(Viewer())) == ([], 0), "what is somebody's is listed for nobody else"
    found, _ = await annes.jobs(limit=1, offset=0)
    assert found[0] is rig.live.get(made[2])


# ---------------------------------------------------------------------- clips without scenarios


async def test_a_clip_is_cancelled_without_naming_scenarios_and_is_not_resumed(rig: Rig) -> None:
    now, clip_id = utc_now(), str(uuid.uuid4())
    scene = Scene(
        id=clip_id,
        job_id=clip_id,
        session_id=None,
        scenario=None,
        take=0,
        prompt="A lamp",
        model="local:preview@1",
        provider="local",
        seconds=1.0,
        width=256,
        height=144,
        task_id=str(uuid.uuid4()),
        created_at=now,
        updated_at=now,
    )
    ticket = await rig.studio.begin(Job(id=clip_id, session_id=None, created_at=now), [scene])
    assert ticket == Ticket(job_id=clip_id, scenes=1, joined=False)
    await _turns()
    assert rig.taken_up == [clip_id]
    with pytest.raises(Conflict, match="nothing to cancel"):
        await rig.studio.cancel(clip_id, tuple(Scenario))
    assert (await rig.studio.cancel(clip_id)).job.state is JobState.CANCELLED
    with pytest.raises(Conflict, match="nothing to cancel"):
        await rig.studio.cancel(clip_id)
    with pytest.raises(Conflict, match="order it again"):
        await rig.studio.resume(clip_id)
