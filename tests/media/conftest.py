"""A small rendered scene for every test, and a check that no worker outlives its test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.media.scene import render_scene
from tests.media.kit import SMALL, children


@pytest.fixture(scope="session")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole file in the house format: 30 pictures, 256 x 144, with sound."""
    path = tmp_path_factory.mktemp("movie") / "scene.mp4"
    render_scene(SMALL, path)
    return path


@pytest.fixture(autouse=True)
def no_orphans() -> Iterator[None]:
    """No test may leave a worker behind."""
    before = children(os.getpid())
    yield
    assert children(os.getpid()) <= before
