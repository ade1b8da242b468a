"""The circuit breaker, on a clock that the tests turn."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from service import breaker as module
from service.breaker import Breaker, Refused, Scope


class _Clock:
    """The time of the module, and of the event loop's timers."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    async def forward(self, seconds: float) -> None:
        self.now += seconds
        await _settled()


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[_Clock]:
    clock = _Clock()
    with monkeypatch.context() as patch:
        patch.setattr(module, "time", clock)
        patch.setattr(asyncio.get_running_loop(), "time", clock.monotonic)
        yield clock


class _NoModel(Refused):
    scope: Scope = "model"


class _Later(Refused):
    def __init__(self, seconds: float) -> None:
        super().__init__("later")
        self.retry_after = seconds


class _Call:
    """One call, which ends when and as the test says."""

    def __init__(self, breaker: Breaker) -> None:
        self.inside = False
        self._outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self._make(breaker))

    async def ends(self, error: Exception | None = None) -> None:
        if error is None:
            self._outcome.set_result(None)
        else:
            self._outcome.set_exception(error)
        await asyncio.wait({self.task})
        assert self.task.exception() is error
        await _settled()

    async def cancelled(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})
        assert self.task.cancelled()
        await _settled()

    async def _make(self, breaker: Breaker) -> None:
        async with breaker.call():
            self.inside = True
            await self._outcome


async def _settled() -> None:
    """Let every task run as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def _calls(breaker: Breaker, count: int) -> list[_Call]:
    calls = [_Call(breaker) for _ in range(count)]
    await _settled()
    return calls


async def _call(breaker: Breaker) -> _Call:
    return (await _calls(breaker, 1))[0]


def _breaker(
    scope: Scope = "provider", *, failures: int = 1, pause: float = 10, longest: float = 60
) -> Breaker:
    return Breaker("Acme", scope, failures=failures, pause_seconds=pause, longest_seconds=longest)


def _is_open(breaker: Breaker) -> bool:
    return breaker.trouble is not None


async def _opened(breaker: Breaker, error: Refused | None = None) -> None:
    await (await _call(breaker)).ends(error or Refused("out of order"))
    assert _is_open(breaker)


async def _open_for(breaker: Breaker, clock: _Clock) -> float:
    """Seconds until the next try, which is then made and cancelled."""
    call = await _call(breaker)
    began = clock.now
    while not call.inside:
        await clock.forward(0.5)
    await call.cancelled()
    return clock.now - began


# ---------------------------------------------------------------------- opening


async def test_so_many_refusals_in_a_row_open_the_circuit(clock: _Clock) -> None:
    breaker = _breaker(failures=3)
    for _ in range(2):
        await (await _call(breaker)).ends(Refused())
    assert not _is_open(breaker)
    await (await _call(breaker)).ends()  # the row is broken
    for _ in range(2):
        await (await _call(breaker)).ends(Refused())
    assert not _is_open(breaker)
    await (await _call(breaker)).ends(Refused())
    assert _is_open(breaker)
    assert not (await _call(breaker)).inside


async def test_one_refusal_is_enough_where_one_is_asked_for(clock: _Clock) -> None:
    breaker = _breaker()
    await _opened(breaker)
    assert not (await _call(breaker)).inside


@pytest.mark.parametrize("error", [ValueError("bad prompt"), _NoModel("too many")])
async def test_an_answer_of_another_kind_shows_that_the_provider_works(
    clock: _Clock, error: Exception
) -> None:
    breaker = _breaker(failures=2)
    await (await _call(breaker)).ends(Refused())
    await (await _call(breaker)).ends(error)
    await (await _call(breaker)).ends(Refused())
    assert not _is_open(breaker)


async def test_a_model_is_only_kept_away_from_by_refusals_of_the_model(clock: _Clock) -> None:
    breaker = _breaker("model")
    await (await _call(breaker)).ends(Refused())
    assert not _is_open(breaker)
    await (await _call(breaker)).ends(_NoModel())
    assert _is_open(breaker)


async def test_a_cancelled_call_tells_nothing(clock: _Clock) -> None:
    breaker = _breaker(failures=2)
    await (await _call(breaker)).ends(Refused())
    await (await _call(breaker)).cancelled()
    assert not _is_open(breaker)
    await (await _call(breaker)).ends(Refused())
    assert _is_open(breaker), "the row was not broken"


# ---------------------------------------------------------------------- waiting and trying


async def test_calls_wait_until_the_pause_is_over_and_then_exactly_one_tries(clock: _Clock) -> None:
    breaker = _breaker(pause=10)
    await _opened(breaker)
    calls = await _calls(breaker, 100)
    await clock.forward(9.9)
    assert not any(call.inside for call in calls)
    await clock.forward(0.2)
    assert sum(call.inside for call in calls) == 1
    more = await _calls(breaker, 100)
    await clock.forward(1000)
    assert sum(call.inside for call in calls + more) == 1, "however long it takes"


async def test_a_trial_that_passes_lets_all_in(clock: _Clock) -> None:
    breaker = _breaker()
    await _opened(breaker)
    calls = await _calls(breaker, 100)
    await clock.forward(10)
    await next(call for call in calls if call.inside).ends()
    assert all(call.inside for call in calls)
    assert not _is_open(breaker)


@pytest.mark.parametrize("error", [ValueError("bad prompt"), _NoModel("too many")])
async def test_a_trial_that_is_answered_closes_the_providers_circuit(clock: _Clock, error: Exception) -> None:
    breaker = _breaker()
    await _opened(breaker)
    await clock.forward(10)
    await (await _call(breaker)).ends(error)
    assert not _is_open(breaker)


async def test_a_trial_that_does_not_reach_the_model_leaves_its_circuit_open(clock: _Clock) -> None:
    breaker = _breaker("model")
    await _opened(breaker, _NoModel("too many"))
    calls = await _calls(breaker, 3)
    await clock.forward(10)
    await next(call for call in calls if call.inside).ends(Refused("no connection"))
    assert breaker.trouble is not None
    assert breaker.trouble.startswith("Acme refuses work (too many)")
    assert sum(call.inside for call in calls) == 2, "another one tries at once"


async def test_a_cancelled_trial_lets_another_one_try(clock: _Clock) -> None:
    breaker = _breaker()
    await _opened(breaker)
    calls = await _calls(breaker, 3)
    await clock.forward(10)
    trial = next(call for call in calls if call.inside)
    await trial.cancelled()
    assert sum(call.inside for call in calls if call is not trial) == 1
    assert _is_open(breaker)


async def test_a_call_that_is_cancelled_while_it_waits_disturbs_nobody(clock: _Clock) -> None:
    breaker = _breaker()
    await _opened(breaker)
    first, second = await _calls(breaker, 2)
    await first.cancelled()
    await clock.forward(10)
    assert second.inside


async def test_a_trial_that_fails_doubles_the_pause_up_to_the_longest(clock: _Clock) -> None:
    breaker = _breaker(pause=10, longest=60)
    await _opened(breaker)
    pauses = []
    for _ in range(5):
        pauses.append(await _open_for(breaker, clock))
        await (await _call(breaker)).ends(Refused())
    assert pauses == [10, 20, 40, 60, 60]


async def test_closing_takes_the_pause_back_to_the_first(clock: _Clock) -> None:
    breaker = _breaker(pause=10)
    await _opened(breaker)
    for pause in (10, 20):
        await clock.forward(pause)
        await (await _call(breaker)).ends(Refused())
    await clock.forward(40)
    await (await _call(breaker)).ends()
    await _opened(breaker)
    assert await _open_for(breaker, clock) == 10


async def test_closing_takes_the_row_back_to_nothing(clock: _Clock) -> None:
    breaker = _breaker(failures=2)
    for _ in range(2):
        await (await _call(breaker)).ends(Refused())
    await clock.forward(10)
    await (await _call(breaker)).ends()
    await (await _call(breaker)).ends(Refused())
    assert not _is_open(breaker)


async def test_waiting_calls_need_nobody_to_wake_them() -> None:
    """The one test on the real clock: nothing turns the time but time."""
    breaker = _breaker(pause=0.01)
    await _opened(breaker)
    await (await _call(breaker)).ends()
    assert not _is_open(breaker)


# ---------------------------------------------------------------------- old news


async def test_hundreds_of_refusals_from_before_the_opening_count_once(clock: _Clock) -> None:
    breaker = _breaker(pause=10)
    calls = await _calls(breaker, 300)
    for call in calls:
        await call.ends(Refused())
    assert await _open_for(breaker, clock) == 10
    await (await _call(breaker)).ends(Refused())
    assert await _open_for(breaker, clock) == 20


async def test_a_success_from_before_the_opening_does_not_close(clock: _Clock) -> None:
    """Of many that leave together some are accepted and the rest told that they are too many."""
    breaker = _breaker("model")
    refused, accepted = await _calls(breaker, 2)
    await refused.ends(_NoModel())
    await accepted.ends()
    assert _is_open(breaker)
    assert not (await _call(breaker)).inside


async def test_a_refusal_from_before_the_opening_does_not_open_again_what_a_trial_has_closed(
    clock: _Clock,
) -> None:
    breaker = _breaker()
    refused, late = await _calls(breaker, 2)
    await refused.ends(Refused())
    await clock.forward(10)
    await (await _call(breaker)).ends()
    await late.ends(Refused())
    assert not _is_open(breaker)


async def test_old_news_during_a_trial_leave_its_outcome_to_it(clock: _Clock) -> None:
    breaker = _breaker()
    refused, late, later = await _calls(breaker, 3)
    await refused.ends(Refused())
    await clock.forward(10)
    trial, waiting = await _calls(breaker, 2)
    await late.ends()
    await later.ends(Refused())
    assert (trial.inside, waiting.inside) == (True, False)
    await trial.ends()
    assert waiting.inside


# ---------------------------------------------------------------------- what the part asks for


@pytest.mark.parametrize(
    ("asked", "kept"),
    [(35, 35), (3, 10), (1000, 60), (-5, 10)],
    ids=["longer", "shorter than the pause", "longer than the longest", "nonsense"],
)
async def test_the_part_may_ask_for_a_longer_pause(clock: _Clock, asked: float, kept: float) -> None:
    breaker = _breaker(pause=10, longest=60)
    await _opened(breaker, _Later(asked))
    assert await _open_for(breaker, clock) == kept


async def test_a_trial_is_told_how_long_to_wait_as_well(clock: _Clock) -> None:
    breaker = _breaker(pause=10, longest=60)
    await _opened(breaker)
    await clock.forward(10)
    await (await _call(breaker)).ends(_Later(45))
    assert await _open_for(breaker, clock) == 45


# ---------------------------------------------------------------------- for people


async def test_trouble_says_who_why_and_when(clock: _Clock) -> None:
    breaker = _breaker(pause=10)
    assert not _is_open(breaker)
    await _opened(breaker, Refused("no connection"))
    assert breaker.trouble is not None
    assert re.fullmatch(
        r"Acme refuses work \(no connection\); next try at \d\d:\d\d:\d\d UTC", breaker.trouble
    )
    await clock.forward(10)
    await (await _call(breaker)).ends()
    assert not _is_open(breaker)


async def test_a_reason_of_any_length_stays_readable(clock: _Clock) -> None:
    breaker = _breaker()
    await _opened(breaker, Refused("x" * 10_000))
    assert breaker.trouble is not None
    assert breaker.trouble.startswith(f"Acme refuses work ({'x' * 200}); next try at ")
