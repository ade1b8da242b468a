"""Token buckets: who polls as documented is never refused, who floods is told when to come back."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from service.rates import Buckets, Rates
from service.sections import RatesSettings
from service.settings import Settings, load_settings
from sessions.errors import ConfigError


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


def _settings(**rates: Any) -> Settings:
    return load_settings({"rates": rates}, environ={})


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_burst_then_one_token_after_the_other(clock: Clock) -> None:
    buckets = Buckets(per_second=2, burst=3, tick=clock)
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a") == pytest.approx(0.5)
    clock.seconds += 0.25
    assert buckets.take("a") == pytest.approx(0.25)
    clock.seconds += 0.25
    assert buckets.take("a") == 0
    assert buckets.take("a") == pytest.approx(0.5)


def test_coming_back_when_told_to_is_enough(clock: Clock) -> None:
    buckets = Buckets(per_second=3, burst=5, tick=clock)
    chance = random.Random(1)
    for _ in range(2000):
        wait = buckets.take("a")
        if wait:
            clock.seconds += wait
            assert buckets.take("a") == 0
        clock.seconds += chance.random() / 5


def test_asking_in_vain_costs_nothing(clock: Clock) -> None:
    buckets = Buckets(per_second=1, burst=1, tick=clock)
    assert buckets.take("a") == 0
    assert all(buckets.take("a") for _ in range(100))
    clock.seconds += 1
    assert buckets.take("a") == 0


def test_a_bucket_never_holds_more_than_the_burst(clock: Clock) -> None:
    buckets = Buckets(per_second=10, burst=4, tick=clock)
    buckets.take("a")
    clock.seconds += 3600
    assert [buckets.take("a") == 0 for _ in range(5)] == [True] * 4 + [False]


def test_keys_do_not_know_each_other(clock: Clock) -> None:
    buckets = Buckets(per_second=1, burst=1, tick=clock)
    assert [buckets.take(key) for key in ("a", "b", ("a", "b"))] == [0, 0, 0]
    assert buckets.take("a") > 0


def test_a_rate_of_0_is_no_limit(clock: Clock) -> None:
    buckets = Buckets(per_second=0, burst=1, tick=clock)
    assert not any(buckets.take("a") for _ in range(1000))
    assert len(buckets) == 0


def test_idle_keys_are_forgotten_and_busy_ones_are_not(clock: Clock) -> None:
    buckets = Buckets(per_second=1, burst=10, tick=clock)
    for number in range(1000):
        buckets.take(number)
    assert len(buckets) == 1000
    for _ in range(40):  # one token a second, and no more: the bucket stays as empty as it is
        clock.seconds += 1
        buckets.take("busy")
        buckets.take("busy")
    assert len(buckets) <= 2
    assert buckets.take("busy") > 0


@pytest.mark.parametrize("seed", range(20))
def test_forgetting_is_never_noticed(clock: Clock, seed: int) -> None:
    """The same answers as from a bucket that is kept for ever, computed the slow way."""
    chance = random.Random(seed)
    rate, burst = chance.choice([0.5, 3, 20]), chance.choice([1, 4, 50])
    buckets = Buckets(per_second=rate, burst=burst, tick=clock)
    held: dict[int, tuple[float, float]] = {}
    for _ in range(3000):
        clock.seconds += chance.choice([0, 0.001, 0.1, 0.5 / rate, chance.random() * 3 * burst / rate])
        key = chance.randrange(5)
        tokens, since = held.get(key, (float(burst), clock.seconds))
        tokens = min(float(burst), tokens + (clock.seconds - since) * rate)
        wait = buckets.take(key)
        assert (wait == 0) == (tokens >= 1 - 1e-6)
        held[key] = tokens - (1 if wait == 0 else 0), clock.seconds


def test_a_flood_of_strangers_does_not_grow_without_bounds(clock: Clock) -> None:
    buckets = Buckets(per_second=1, burst=5, tick=clock, most=100)
    for number in range(10_000):
        buckets.take(number)
    assert len(buckets) <= 200


def test_documented_clients_are_never_refused(clock: Clock) -> None:
    """Thirty jobs, three windows each, every two seconds, for half an hour; all from one address."""
    rates = Rates(_settings().rates, clock)
    for _ in range(900):
        for job in range(30):
            assert [rates.read("client", f"/status/{job}") for _window in range(3)] == [0, 0, 0]
        clock.seconds += 2


def test_one_address_is_refused_long_before_all_are(clock: Clock) -> None:
    """A window gone mad does not use up what the others of the same client need."""
    rates = Rates(_settings().rates, clock)
    for _ in range(60):
        for _ in range(1000):
            rates.read("client", "/status/mad")
        assert rates.read("client", "/status/other") == 0
        clock.seconds += 1


def test_many_addresses_of_one_client_are_limited_together(clock: Clock) -> None:
    rates = Rates(_settings(reads=10, reads_burst=20).rates, clock)
    waits = [rates.read("client", f"/status/{number}") for number in range(30)]
    assert [wait == 0 for wait in waits] == [True] * 20 + [False] * 10
    assert rates.fetch("client") > 0
    assert rates.read("another", "/status/0") == 0


def test_creates_are_counted_apart(clock: Clock) -> None:
    rates = Rates(_settings(creates=1, creates_burst=2, reads=1, reads_burst=1).rates, clock)
    assert rates.fetch("client") == 0
    assert rates.fetch("client") > 0
    assert [rates.create("client") == 0 for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    "wrong",
    [{"reads": -1}, {"reads": math.nan}, {"creates": math.inf}, {"creates_burst": 0}, {"proxies": -1}],
)
def test_settings_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="rates"):
        _settings(**wrong)


def test_every_limit_can_be_switched_off() -> None:
    off = RatesSettings.model_validate(
        {**_settings().rates.model_dump(), "reads_per_path": 0, "reads": 0, "creates": 0}
    )
    rates = Rates(off)
    assert not any(rates.read("a", "/") or rates.fetch("a") or rates.create("a") for _ in range(5000))
