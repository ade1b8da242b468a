"""What a session shows of its takes."""

from __future__ import annotations

import itertools

import pytest

from sessions.model import Scenario, Session, Take
from tests.sessions.making import a_session, a_take, an_order


def _takes(session: Session, *lateness: bool) -> list[Take]:
    """Takes of the hook, numbered from 1; late or not."""
    _, (scene,) = an_order(session, Scenario.HOOK)
    return [a_take(scene, number=number, late=late) for number, late in enumerate(lateness, 1)]


@pytest.mark.parametrize(
    ("lateness", "chosen"),
    [
        ([False], 1),
        ([False, False], 2),
        ([True], 1),
        ([True, True], 2),
        ([False, True], 1),
        ([True, False], 2),
        ([True, False, True], 2),
        ([False, False, True, True], 2),
    ],
)
def test_a_late_take_is_chosen_only_where_there_is_no_other(lateness: list[bool], chosen: int) -> None:
    for takes in itertools.permutations(_takes(a_session(), *lateness)):
        videos = a_session(takes=takes).videos
        assert [take.number for take in videos] == [chosen], "in whatever order they came"


def test_each_scenario_has_its_own_choice_in_running_order() -> None:
    session = a_session()
    _, scenes = an_order(session, Scenario.CTA, Scenario.HOOK)
    late, early = a_take(scenes[0], number=1, late=True), a_take(scenes[1], number=1)
    assert a_session(takes=(late, early)).videos == (early, late)
    assert a_session().videos == ()
