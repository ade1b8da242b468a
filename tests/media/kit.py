"""Scenes to test with, and a view of processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from service.media.spec import SceneSpec

#: renders in a quarter of a second
SMALL = SceneSpec(
    prompt="Grow 3x faster with one tap",
    scenario="hook",
    seconds=1.0,
    width=256,
    height=144,
    preset="ultrafast",
)
#: renders for many seconds, so that a test can step in
LONG = replace(SMALL, seconds=60.0, width=1920, height=1080)


def children(pid: int) -> set[int]:
    """The processes that a process has started and that still live."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            found |= {int(child) for child in (task / "children").read_text().split()}
    return {child for child in found if alive(child)}


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Poll until the condition holds; fail after the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
