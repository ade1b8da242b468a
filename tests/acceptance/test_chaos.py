"""Whatever is killed when, everything is paid once and nothing is lost.

``python -m tests.acceptance.chaos`` does the same for as long as one likes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.chaos import Chaos
from tests.acceptance.lives import MOMENTS


@pytest.mark.timeout(1800)  # two minutes on an idle machine; nothing here depends on how long it takes
async def test_kills_at_random_instants_cost_nothing_and_lose_nothing(tmp_path: Path, film: bytes) -> None:
    outcome = await Chaos(tmp_path, seed=7, kills=100, jobs=200, film=film).run()
    assert outcome.troubles == [], outcome
    assert outcome.exposed == 350
    assert outcome.jobs >= 200
    assert outcome.clips.total() >= 150
    assert outcome.kills.total() == 100
    assert set(outcome.moments) == set(MOMENTS)
    assert set(outcome.holds) == {"captured", "released", "refunded"}
    assert outcome.waiting > 0
