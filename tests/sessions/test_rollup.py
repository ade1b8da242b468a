"""A job's state and progress follow from its scenes'."""

from __future__ import annotations

import itertools

import pytest

from sessions.model import CLOSED, TERMINAL, JobState, SceneState
from sessions.progress import CLIP
from sessions.rollup import job_progress, job_state

COMBINATIONS = [
    states for count in range(1, 5) for states in itertools.product(SceneState, repeat=count)
]  # 6 + 36 + 216 + 1296


def _specified(states: tuple[SceneState, ...]) -> JobState:
    """Word by word what the states of a job mean."""
    kinds = set(states)
    if kinds == {SceneState.QUEUED}:
        return JobState.QUEUED  # no scene has started
    if kinds & {SceneState.QUEUED, SceneState.RUNNING, SceneState.RECONCILING}:
        return JobState.RUNNING  # at least one still moves
    if kinds == {SceneState.SUCCEEDED}:
        return JobState.SUCCEEDED  # every one succeeded
    if SceneState.SUCCEEDED in kinds:
        return JobState.PARTIAL  # some succeeded, some did not, none moves
    if kinds == {SceneState.CANCELLED}:
        return JobState.CANCELLED  # all were cancelled
    return JobState.FAILED  # none succeeded


def test_every_combination_of_up_to_four_scenes_rolls_up_as_specified() -> None:
    assert len(COMBINATIONS) == 1554
    wrong = {
        states: job_state(states) for states in COMBINATIONS if job_state(states) is not _specified(states)
    }
    assert wrong == {}


def test_a_job_is_closed_exactly_when_no_scene_moves() -> None:
    for states in COMBINATIONS:
        assert (job_state(states) in CLOSED) is all(state in TERMINAL for state in states)


def test_the_order_of_the_scenes_does_not_matter() -> None:
    for states in COMBINATIONS:
        assert job_state(states) is job_state(sorted(states))


@pytest.mark.parametrize(
    ("percents", "shown"),
    [
        ([0], 0),
        ([10], 10),
        ([100, 100, 100, 99], 99),
        ([100] * 4, 100),
        ([0, 0, 0, 3], 0),
        ([10, 30, 70, 80], 47),
    ],
)
def test_progress_is_the_mean_rounded_down(percents: list[int], shown: int) -> None:
    assert job_progress(percents) == shown


def test_a_job_shows_100_only_when_all_scenes_do() -> None:
    for percents in itertools.product([*CLIP.values(), 69, 99], repeat=4):
        assert (job_progress(percents) == 100) is all(percent == 100 for percent in percents)
        assert min(percents) <= job_progress(percents) <= max(percents)
