from __future__ import annotations

import numpy as np
import pytest

from service.media.house import RATE
from service.media.soundtrack import Soundtrack


def test_stretches_join_to_the_whole() -> None:
    track = Soundtrack(7, 2.0)
    whole = track.stretch(0, 2 * RATE)
    assert whole.shape == (2 * RATE, 2)
    assert np.array_equal(whole, np.concatenate([track.stretch(0, 1000), track.stretch(1000, 2 * RATE)]))


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_quiet_but_not_silent_and_begins_and_ends_in_silence(dark: bool) -> None:
    sound = Soundtrack(3, 6.0, dark=dark).stretch(0, 6 * RATE)
    assert 0.02 < float(np.abs(sound).max()) < 0.35
    assert float(np.abs(sound[:10]).max()) < 0.001
    assert float(np.abs(sound[-10:]).max()) < 0.001


def test_nothing_clicks() -> None:
    sound = Soundtrack(11, 6.0).stretch(0, 6 * RATE)
    assert float(np.abs(np.diff(sound, axis=0)).max()) < 0.04
