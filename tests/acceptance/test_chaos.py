"""A short run of ``chaos``: whatever is killed when, everything is paid once and nothing is lost."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.chaos import MOMENTS, Chaos


async def test_kills_at_random_instants_cost_nothing_and_lose_nothing(tmp_path: Path, film: bytes) -> None:
    outcome = await Chaos(tmp_path, seed=7, kills=12, jobs=24, film=film).run()
    assert outcome.exposed == 24
    assert outcome.jobs >= 24
    assert outcome.kills.total() == 12
    assert set(outcome.moments) == set(MOMENTS)
    assert outcome.good, outcome
