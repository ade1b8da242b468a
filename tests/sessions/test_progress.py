"""Stages and their percent."""

from __future__ import annotations

import math

import pytest

from sessions.model import Stage
from sessions.progress import CLIP, ORDER, while_generating


def test_every_stage_has_its_mark_and_marks_rise() -> None:
    assert [CLIP[stage] for stage in Stage] == [0, 10, 30, 70, 80, 100]
    assert tuple(Stage) == ORDER


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        CLIP[Stage.SENT] = 31  # type: ignore[index]


@pytest.mark.parametrize(
    ("fraction", "percent"), [(0.0, 30), (0.12, 30), (0.125, 35), (0.25, 40), (0.5, 50), (0.99, 65)]
)
def test_progress_moves_in_steps_of_five(fraction: float, percent: int) -> None:
    assert while_generating(fraction) == percent


def test_it_never_falls_and_never_reaches_the_mark_that_the_verdict_reaches() -> None:
    shown = [while_generating(number / 1000) for number in range(1001)]
    assert shown == sorted(shown)
    assert shown[0] == CLIP[Stage.SENT]
    assert shown[-1] < CLIP[Stage.GENERATED]


def test_few_values_are_shown_so_that_each_can_be_stored() -> None:
    assert len({while_generating(number / 1000) for number in range(1001)}) <= 9


@pytest.mark.parametrize("fraction", [-1.0, -math.inf, math.nan])
def test_nonsense_below_counts_as_nothing_done(fraction: float) -> None:
    assert while_generating(fraction) == 30


@pytest.mark.parametrize("fraction", [1.0, 1.5, 100.0, math.inf])
def test_nonsense_above_stays_below_generated(fraction: float) -> None:
    assert while_generating(fraction) == while_generating(1.0) < 70
