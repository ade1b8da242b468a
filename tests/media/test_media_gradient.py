from __future__ import annotations

import numpy as np
import pytest

from service.media.gradient import Gradient
from service.media.planes import planes


@pytest.mark.parametrize("scenario", ["hook", "problem", "solution", "cta", "something else"])
def test_white_letters_stay_readable_everywhere(scenario: str) -> None:
    for seed in range(5):
        background = Gradient(256, 144, scenario, seed)
        for time in (0.0, 2.0, 4.0):
            luma = planes(background.frame(time)).y
            assert luma.max() < 110
            assert luma.mean() > 25, "it is too dark to be seen"


@pytest.mark.parametrize("size", [(128, 128), (3840, 128), (128, 3840), (1278, 718)])
def test_any_size(size: tuple[int, int]) -> None:
    assert Gradient(*size, "hook", 1).frame(0.0).shape == (size[1] * 3 // 2, size[0])


def test_scenes_differ_in_colour() -> None:
    hook, solution = (planes(Gradient(128, 128, s, 1).frame(0)) for s in ("hook", "solution"))
    assert abs(float(np.mean(hook.v)) - float(np.mean(solution.v))) > 15
