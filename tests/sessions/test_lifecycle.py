"""The scene's state machine, verb by verb."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sessions import lifecycle
from sessions.lifecycle import IllegalTransition, Transition
from sessions.model import EventKind, Scenario, Scene, SceneFailure, SceneState, Stage, Take
from sessions.progress import ORDER

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(seconds=90)
FAILURE = SceneFailure(code="provider", message="The model fell over", retryable=True)

QUEUED = Scene(
    id="scene",
    job_id="job",
    session_id="session",
    scenario=Scenario.HOOK,
    take=3,
    prompt="A lamp",
    model="local:preview@1",
    provider="local",
    seconds=5.0,
    width=256,
    height=144,
    task_id="uuid",
    created_at=NOW,
    updated_at=NOW,
)
TAKE = Take(
    id="take",
    session_id="session",
    scene_id="scene",
    scenario=Scenario.HOOK,
    number=3,
    file="clip.mp4",
    prompt="A lamp",
    model="local:preview@1",
    provider="local",
    seconds=5.0,
    width=256,
    height=144,
    size=1000,
    cost_usd=None,
    created_at=LATER,
)

VERBS: Mapping[str, Callable[[Scene], Transition]] = {
    "start": lambda scene: lifecycle.start(scene, LATER),
    "sent": lambda scene: lifecycle.sent(scene, LATER),
    "tick": lambda scene: lifecycle.tick(scene, 45, LATER),
    "generated": lambda scene: lifecycle.generated(scene, "http://x/y.mp4", 0.18, "clip.mp4", LATER),
    "downloaded": lambda scene: lifecycle.downloaded(scene, LATER),
    "succeed": lambda scene: lifecycle.succeed(scene, TAKE, LATER),
    "fail": lambda scene: lifecycle.fail(scene, FAILURE, LATER),
    "reconcile": lambda scene: lifecycle.reconcile(scene, LATER),
    "retry": lambda scene: lifecycle.retry(scene, FAILURE, f"{scene.task_id}+", LATER),
    "put_back": lambda scene: lifecycle.put_back(scene, LATER),
    "cancel": lambda scene: lifecycle.cancel(scene, LATER),
}

MARKS = {
    Stage.WAITING: 0,
    Stage.CREATED: 10,
    Stage.SENT: 30,
    Stage.GENERATED: 70,
    Stage.DOWNLOADED: 80,
    Stage.COMPLETE: 100,
}

_C, _S, _G, _D, _END = Stage.CREATED, Stage.SENT, Stage.GENERATED, Stage.DOWNLOADED, Stage.COMPLETE

#: where each verb leads from a running scene at created, sent, generated, downloaded; None: refused
RUNNING_MOVES: Mapping[str, tuple[Stage | None, ...]] = {
    "start": (_C, _S, _G, _D),
    "sent": (_S, _S, None, None),
    "tick": (_C, _S, _G, _D),
    "generated": (_G, _G, _G, None),
    "downloaded": (_D, _D, _D, _D),
    "succeed": (_END, _END, _END, _END),
    "fail": (_C, _S, _G, _D),
    "reconcile": (_C, _S, _G, _D),
    "retry": (Stage.WAITING, Stage.WAITING, None, None),
    "put_back": (Stage.WAITING, None, None, None),
    "cancel": (_C, _S, _G, _D),
}

MOVES_TO = {"sent": _S, "generated": _G, "downloaded": _D}

LEADS_TO = {
    "succeed": SceneState.SUCCEEDED,
    "fail": SceneState.FAILED,
    "reconcile": SceneState.RECONCILING,
    "retry": SceneState.QUEUED,
    "put_back": SceneState.QUEUED,
    "cancel": SceneState.CANCELLED,
}


def _running(stage: Stage) -> Scene:
    return replace(
        QUEUED,
        state=SceneState.RUNNING,
        stage=stage,
        progress=MARKS[stage],
        attempt=1,
        submitted_at=NOW,
    )


def _owed(stage: Stage) -> Scene:
    """Cancelled in the middle of its making."""
    return lifecycle.cancel(_running(stage), NOW).after


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("column", "stage"), list(enumerate((_C, _S, _G, _D))))
def test_every_verb_leads_from_every_stage_where_the_table_says(verb: str, column: int, stage: Stage) -> None:
    target = RUNNING_MOVES[verb][column]
    before = _running(stage)
    if target is None:
        with pytest.raises(IllegalTransition, match=r"cannot go back|has its video|running at"):
            VERBS[verb](before)
        return
    change = VERBS[verb](before)
    assert change.before is before
    assert change.after.stage is target
    assert change.after.state is LEADS_TO.get(verb, SceneState.RUNNING)
    assert change.after.updated_at == LATER
    ticked = 45 if verb == "tick" else 0
    assert change.after.progress == max(MARKS[stage], MARKS[target], ticked)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("state", [SceneState.SUCCEEDED, SceneState.FAILED, SceneState.CANCELLED])
def test_an_ended_scene_refuses_every_verb(verb: str, state: SceneState) -> None:
    with pytest.raises(IllegalTransition, match=state.value):
        VERBS[verb](replace(QUEUED, state=state, stage=Stage.SENT))


def test_starting_a_waiting_scene_puts_it_at_created() -> None:
    after = lifecycle.start(QUEUED, LATER).after
    assert (after.state, after.stage, after.progress, after.attempt) == (
        SceneState.RUNNING,
        Stage.CREATED,
        10,
        1,
    )


def test_starting_again_counts_attempts_and_keeps_what_was_reached() -> None:
    before = replace(_running(Stage.SENT), progress=55)
    after = lifecycle.start(before, LATER).after
    assert (after.attempt, after.stage, after.progress, after.task_id) == (2, Stage.SENT, 55, "uuid")


def test_a_scene_that_never_started_can_fail() -> None:
    after = lifecycle.fail(QUEUED, FAILURE, LATER).after
    assert (after.state, after.progress, after.failure) == (SceneState.FAILED, 0, FAILURE)


def test_the_first_start_is_when_the_task_may_have_left() -> None:
    first = lifecycle.start(QUEUED, NOW).after
    assert first.submitted_at == NOW
    assert lifecycle.start(first, LATER).after.submitted_at == NOW


@pytest.mark.parametrize("verb", sorted(VERBS.keys() - {"start", "fail", "succeed", "cancel"}))
def test_a_waiting_scene_does_not_move_by_itself(verb: str) -> None:
    with pytest.raises(IllegalTransition):
        VERBS[verb](QUEUED)


# ---------------------------------------------------------------------- retries


def test_a_retry_waits_again_for_another_task() -> None:
    before = replace(_running(Stage.SENT), progress=45)
    change = lifecycle.retry(before, FAILURE, "another", LATER)
    assert change.after == replace(
        before,
        state=SceneState.QUEUED,
        stage=Stage.WAITING,
        task_id="another",
        tries=2,
        submitted_at=None,
        updated_at=LATER,
    )
    assert change.event is not None
    assert (change.event.kind, change.event.data) == (
        EventKind.RETRIED,
        {
            "code": "provider",
            "message": "The model fell over",
            "ended_task": "uuid",
            "task": "another",
            "tries": 2,
        },
    )


def test_what_was_shown_stays_until_the_next_task_has_come_as_far() -> None:
    scene = lifecycle.retry(replace(_running(Stage.SENT), progress=45), FAILURE, "another", NOW).after
    shown = []
    for verb in ("start", "sent", "generated"):
        scene = VERBS[verb](scene).after
        shown.append(scene.progress)
    assert shown == [45, 45, 70]
    assert (scene.attempt, scene.submitted_at) == (2, LATER), "the task that left last counts"


def test_what_waits_or_has_been_cancelled_is_not_retried() -> None:
    for scene in (QUEUED, _owed(Stage.SENT)):
        with pytest.raises(IllegalTransition, match=scene.state.value):
            VERBS["retry"](scene)


def test_what_the_provider_has_not_taken_waits_again_for_the_same_task() -> None:
    before = _running(Stage.CREATED)
    change = lifecycle.put_back(before, LATER)
    assert change.event is None
    assert change.after == replace(
        before, state=SceneState.QUEUED, stage=Stage.WAITING, submitted_at=None, updated_at=LATER
    )
    assert lifecycle.cancel(change.after, LATER).after.owed is False


@pytest.mark.parametrize("scene", [QUEUED, _owed(_C), lifecycle.reconcile(_running(_C), NOW).after])
def test_only_a_running_scene_is_put_back(scene: Scene) -> None:
    with pytest.raises(IllegalTransition, match=scene.state.value):
        VERBS["put_back"](scene)


# ---------------------------------------------------------------------- no verdict in time


def test_a_scene_without_a_verdict_goes_on_when_it_comes() -> None:
    before = replace(_running(Stage.SENT), progress=65)
    waiting = lifecycle.reconcile(before, LATER)
    assert waiting.after == replace(before, state=SceneState.RECONCILING, updated_at=LATER)
    assert waiting.event is not None
    assert (waiting.event.kind, waiting.event.data) == (EventKind.RECONCILING, {"task": "uuid"})

    resumed = lifecycle.start(waiting.after, LATER).after
    assert (resumed.state, resumed.attempt) == (SceneState.RECONCILING, 2)
    after = VERBS["generated"](resumed).after
    assert (after.state, after.stage, after.generated_at) == (SceneState.RUNNING, Stage.GENERATED, LATER)


@pytest.mark.parametrize(
    ("verb", "state"),
    [
        ("fail", SceneState.FAILED),
        ("retry", SceneState.QUEUED),
        ("cancel", SceneState.CANCELLED),
        ("tick", SceneState.RECONCILING),
    ],
)
def test_a_scene_without_a_verdict_can_go_other_ways(verb: str, state: SceneState) -> None:
    assert VERBS[verb](lifecycle.reconcile(_running(Stage.SENT), NOW).after).after.state is state


@pytest.mark.parametrize("scene", [lifecycle.reconcile(_running(_S), NOW).after, _owed(_S)])
def test_only_a_running_scene_comes_to_wait_for_its_verdict(scene: Scene) -> None:
    with pytest.raises(IllegalTransition, match=scene.state.value):
        VERBS["reconcile"](scene)


# ---------------------------------------------------------------------- cancelling


@pytest.mark.parametrize(
    "scene", [QUEUED, lifecycle.retry(_running(Stage.SENT), FAILURE, "another", NOW).after]
)
def test_what_has_not_left_for_the_provider_is_cancelled_free_of_charge(scene: Scene) -> None:
    change = lifecycle.cancel(scene, LATER)
    after = change.after
    assert (after.state, after.owed, after.attempt) == (SceneState.CANCELLED, False, scene.attempt + 1)
    assert after.settled
    assert change.event is not None
    assert (change.event.kind, change.event.data) == (EventKind.CANCELLED, {"owed": False})
    for verb in VERBS.values():
        with pytest.raises(IllegalTransition, match="cancelled"):
            verb(after)


@pytest.mark.parametrize("stage", [_C, _S, _G, _D])
def test_what_has_left_for_the_provider_is_owed(stage: Stage) -> None:
    before = _running(stage)
    change = lifecycle.cancel(before, LATER)
    assert change.after == replace(before, state=SceneState.CANCELLED, owed=True, attempt=2, updated_at=LATER)
    assert (change.after.terminal, change.after.settled) == (True, False)
    assert change.event is not None
    assert (change.event.kind, change.event.data) == (EventKind.CANCELLED, {"owed": True})
    with pytest.raises(IllegalTransition):
        lifecycle.cancel(change.after, LATER)


@pytest.mark.parametrize("stage", [_C, _S, _G, _D])
def test_an_owed_video_is_kept_without_the_scene_moving(stage: Stage) -> None:
    scene = _owed(stage)
    shown = scene.progress
    verbs = [
        verb
        for verb in ("start", "sent", "tick", "generated", "downloaded")
        if verb in ("start", "tick") or ORDER.index(MOVES_TO[verb]) > ORDER.index(stage)
    ]
    for verb in verbs:
        scene = VERBS[verb](scene).after
        assert (scene.state, scene.owed, scene.progress) == (SceneState.CANCELLED, True, shown)

    change = VERBS["succeed"](scene)
    assert change.after == replace(scene, stage=Stage.COMPLETE, owed=False, updated_at=LATER)
    assert change.take == replace(TAKE, late=True)
    assert change.event is not None
    assert (change.event.kind, change.event.data) == (EventKind.KEPT, {"file": "clip.mp4", "take": 3})
    assert change.after.settled


def test_an_owed_video_that_does_not_come_is_given_up() -> None:
    scene = _owed(Stage.SENT)
    change = lifecycle.fail(scene, FAILURE, LATER)
    assert change.after == replace(scene, owed=False, updated_at=LATER), "cancelled, not failed"
    assert change.event is not None
    assert (change.event.kind, change.event.data) == (
        EventKind.GIVEN_UP,
        {"code": "provider", "message": "The model fell over"},
    )


def test_nothing_more_is_asked_of_a_settled_scene() -> None:
    settled = lifecycle.fail(_owed(Stage.SENT), FAILURE, NOW).after
    for verb in VERBS.values():
        with pytest.raises(IllegalTransition, match="cancelled"):
            verb(settled)


# ---------------------------------------------------------------------- progress and events


def test_the_marks_are_10_30_70_80_100() -> None:
    scene, shown = QUEUED, []
    for verb in ("start", "sent", "generated", "downloaded", "succeed"):
        scene = VERBS[verb](scene).after
        shown.append(scene.progress)
    assert shown == [10, 30, 70, 80, 100]


@pytest.mark.parametrize(
    ("percent", "shown"), [(-5, 30), (0, 30), (30, 30), (31, 31), (69, 69), (70, 69), (100, 69), (10**9, 69)]
)
def test_a_tick_stays_between_sent_and_generated(percent: int, shown: int) -> None:
    assert lifecycle.tick(_running(Stage.SENT), percent, LATER).after.progress == shown


def test_a_tick_keeps_no_event_and_never_lowers() -> None:
    change = lifecycle.tick(replace(_running(Stage.SENT), progress=60), 40, LATER)
    assert change.event is None
    assert change.after.progress == 60


def test_a_failure_keeps_the_progress() -> None:
    after = lifecycle.fail(replace(_running(Stage.SENT), progress=45), FAILURE, LATER).after
    assert (after.progress, after.stage) == (45, Stage.SENT)


@pytest.mark.parametrize(
    ("change", "kind", "data"),
    [
        (VERBS["start"](QUEUED), EventKind.STARTED, {"attempt": 1, "resumed_at": "created"}),
        (VERBS["start"](_running(Stage.SENT)), EventKind.STARTED, {"attempt": 2, "resumed_at": "sent"}),
        (VERBS["sent"](_running(_C)), EventKind.SENT, {"task": "uuid"}),
        (VERBS["generated"](_running(_S)), EventKind.GENERATED, {"cost_usd": 0.18}),
        (lifecycle.generated(_running(_S), "x", None, "y", LATER), EventKind.GENERATED, {}),
        (lifecycle.generated(_running(_S), "x", 0.0, "y", LATER), EventKind.GENERATED, {"cost_usd": 0.0}),
        (VERBS["downloaded"](_running(_G)), EventKind.DOWNLOADED, {}),
        (VERBS["succeed"](_running(_D)), EventKind.SUCCEEDED, {"file": "clip.mp4", "take": 3}),
        (
            VERBS["fail"](_running(_S)),
            EventKind.FAILED,
            {"code": "provider", "message": "The model fell over"},
        ),
    ],
)
def test_events_say_what_happened(change: Transition, kind: EventKind, data: Mapping[str, Any]) -> None:
    event = change.event
    assert event is not None
    assert (event.kind, event.data) == (kind, data)
    assert (event.job_id, event.scene_id, event.at) == ("job", "scene", LATER)


def test_what_the_provider_made_is_on_the_scene() -> None:
    after = lifecycle.generated(_running(Stage.SENT), "http://x/y.mp4", 0.18, "clip.mp4", LATER).after
    assert (after.result, after.cost_usd, after.file) == ("http://x/y.mp4", 0.18, "clip.mp4")


def test_only_a_success_carries_a_take() -> None:
    carried = {verb: VERBS[verb](_running(Stage.CREATED)).take for verb in VERBS}
    assert carried == {**dict.fromkeys(VERBS), "succeed": TAKE}


def _random_verb(dice: random.Random) -> Callable[[Scene], Transition]:
    name = dice.choices(list(VERBS), weights=[2, 3, 6, 1, 1, 1, 1, 1, 1, 1, 1])[0]
    if name == "tick":
        percent = dice.randint(-50, 150)
        return lambda scene: lifecycle.tick(scene, percent, LATER)
    return VERBS[name]


@pytest.mark.parametrize("seed", range(20))
def test_no_walk_ever_goes_back(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(50):
        scene = QUEUED
        for _ in range(30):
            verb = _random_verb(dice)
            try:
                after = verb(scene).after
            except IllegalTransition:
                continue
            assert not scene.settled
            assert after.progress >= scene.progress
            assert after.attempt >= scene.attempt
            retried = after.tries > scene.tries
            assert retried is (after.task_id != scene.task_id)
            assert after.state is SceneState.QUEUED or ORDER.index(after.stage) >= ORDER.index(scene.stage)
            if scene.terminal:
                assert (after.state, after.progress) == (SceneState.CANCELLED, scene.progress)
            elif not after.terminal:
                assert after.progress >= MARKS[after.stage]
                assert (after.submitted_at is None) is (after.state is SceneState.QUEUED)
            assert (after.progress == 100) is (after.state is SceneState.SUCCEEDED)
            scene = after
