"""What is learned of how long clips take."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from service.estimates import Estimate, Estimates, generation_of
from sessions.model import Generation, Scenario, Scene

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SCENE = Scene(
    id="scene",
    job_id="job",
    session_id="session",
    scenario=Scenario.HOOK,
    take=1,
    prompt="A lamp",
    model="lamp",
    provider="local",
    seconds=5.0,
    width=1280,
    height=720,
    task_id="task",
    created_at=NOW,
    updated_at=NOW,
)


def _made(took: float, scene: Scene = SCENE) -> Generation:
    return Generation(
        model=scene.model, seconds=scene.seconds, width=scene.width, height=scene.height, took=took
    )


def _known(*took: float) -> Estimates:
    return Estimates(_made(item) for item in took)


# ---------------------------------------------------------------------- what clips take


def test_the_middle_and_both_ends_are_learned_whatever_the_order() -> None:
    known = _known(*(float((number * 37) % 100) for number in range(100)))
    assert known.of(SCENE) == Estimate(low=10, typical=50, high=90)


def test_one_clip_that_took_very_long_changes_little() -> None:
    assert _known(*[10.0] * 19, 36_000.0).of(SCENE) == Estimate(low=10, typical=10, high=10)


def test_two_clips_tell_nothing_and_three_do() -> None:
    known = _known(10, 30)
    assert known.of(SCENE) is None
    known.learn(_made(20))
    assert known.of(SCENE) == Estimate(low=10, typical=20, high=30)


@pytest.mark.parametrize(
    "other",
    [
        replace(SCENE, model="another"),
        replace(SCENE, seconds=10.0),
        replace(SCENE, width=720),
        replace(SCENE, height=1280),
    ],
    ids=["model", "length", "width", "height"],
)
def test_a_clip_of_another_kind_tells_nothing(other: Scene) -> None:
    known = _known(10, 20, 30)
    assert known.of(other) is None
    for took in (1, 2, 3):
        known.learn(_made(took, other))
    assert known.of(SCENE) == Estimate(low=10, typical=20, high=30)
    assert known.of(other) == Estimate(low=1, typical=2, high=3)


def test_only_the_newest_clips_count_and_only_they_are_kept() -> None:
    known = _known(*[1000.0] * 500)
    for _ in range(100):
        known.learn(_made(10))
    assert known.of(SCENE) == Estimate(low=10, typical=10, high=10)
    assert [len(took) for took in known._took.values()] == [100]


# ---------------------------------------------------------------------- how far a clip is


@pytest.mark.parametrize(
    "known",
    [Estimates(), _known(60, 80, 100), _known(0, 0, 0), _known(-5, -5, -5)],
    ids=["a guess", "experience", "no time at all", "a clock that was set back"],
)
def test_progress_never_falls_and_is_never_complete(known: Estimates) -> None:
    moments = [-10.0, 0.0, 0.001, *(1.5**power for power in range(50))]
    shown = [known.fraction(SCENE, elapsed) for elapsed in moments]
    assert all(0 <= earlier <= later < 1 for earlier, later in pairwise(shown))
    assert shown[:2] == [0, 0]


def test_progress_is_even_until_nine_of_ten_are_done_and_slower_afterwards() -> None:
    known = _known(60, 80, 100)
    steps = [known.fraction(SCENE, elapsed) for elapsed in (0, 50, 100)]
    assert steps == pytest.approx([0, 0.45, 0.9])
    late = [known.fraction(SCENE, elapsed) for elapsed in (100, 200, 300, 400)]
    slower = [later - earlier for earlier, later in pairwise(late)]
    assert slower == sorted(slower, reverse=True)
    assert slower[-1] > 0


def test_without_experience_a_longer_clip_is_guessed_to_take_longer() -> None:
    known = Estimates()
    assert known.fraction(SCENE, 30) > known.fraction(replace(SCENE, seconds=10.0), 30) > 0


# ---------------------------------------------------------------------- what is learned from


def test_a_finished_scene_teaches_how_long_the_provider_took() -> None:
    done = replace(SCENE, submitted_at=NOW, generated_at=NOW + timedelta(minutes=1))
    assert generation_of(done) == _made(60)


@pytest.mark.parametrize("scene", [SCENE, replace(SCENE, submitted_at=NOW), replace(SCENE, generated_at=NOW)])
def test_a_scene_that_the_provider_has_not_both_begun_and_ended_teaches_nothing(scene: Scene) -> None:
    assert generation_of(scene) is None
