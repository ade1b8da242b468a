"""The free renderer: real clips, and failures on request."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from service.media.workers import MediaWorkers, SceneSpec, VideoFacts
from service.providers.base import Failed, Finished, Running, TaskStatus, UnknownTask, VideoTask
from service.providers.local import LocalProvider, Switches
from sessions.errors import MediaError, ProviderError
from sessions.progress import while_generating
from tests.media.kit import children

TASK = VideoTask(
    id="6b1c9c1e-6a1f-4d0c-8a53-1b1f3f0f6a01",
    prompt="A calm shot of the lamp",
    model="local:preview@1",
    seconds=1.0,
    width=256,
    height=144,
    scenario="hook",
    take=1,
)


class _CountingWorkers(MediaWorkers):
    """The real workers, and how many renders they were asked for."""

    renders = 0

    async def render_scene(
        self, spec: SceneSpec, out: Path, on_progress: Callable[[float], None] | None = None
    ) -> VideoFacts:
        self.renders += 1
        return await super().render_scene(spec, out, on_progress)


@pytest.fixture
def workers() -> _CountingWorkers:
    return _CountingWorkers()


@pytest.fixture
async def provider(workers: MediaWorkers, tmp_path: Path) -> AsyncIterator[LocalProvider]:
    provider = LocalProvider(workers, scratch=tmp_path, preset="ultrafast")
    await provider.open()
    yield provider
    await provider.close()


def _task(prompt: str) -> VideoTask:
    return replace(TASK, prompt=prompt)


def _files(folder: Path) -> dict[str, int]:
    """What lies there, and its size."""
    return {str(file): file.stat().st_size for file in folder.iterdir()}


async def _ended(provider: LocalProvider, task_id: str = TASK.id) -> None:
    """The render is over; nobody has asked for its verdict."""
    render = provider._runs[task_id].task
    assert render is not None
    async with asyncio.timeout(20):
        await asyncio.wait({render})


async def _verdict(provider: LocalProvider, prompt: str) -> TaskStatus:
    await provider.submit(_task(prompt))
    await _ended(provider)
    return await provider.check(TASK.id)


# ---------------------------------------------------------------------- switches


@pytest.mark.parametrize(
    ("prompt", "switches"),
    [
        ("A lamp", Switches(text="A lamp")),
        ("A lamp [[fail]]", Switches(text="A lamp", fail_at=30)),
        ("[[fail@10]] A lamp", Switches(text="A lamp", fail_at=10)),
        ("[[fail@50]]A lamp", Switches(text="A lamp", fail_at=50)),
        ("A lamp[[fail@70]]", Switches(text="A lamp", fail_at=70)),
        ("A lamp [[ FAIL @ 50 ]]", Switches(text="A lamp", fail_at=50)),
        ("A lamp [[Fail]]", Switches(text="A lamp", fail_at=30)),
        ("A lamp [[fail@0]]", Switches(text="A lamp", fail_at=0)),
        ("A lamp [[nsfw]]", Switches(text="A lamp", nsfw=True)),
        ("A lamp [[ NSFW ]]", Switches(text="A lamp", nsfw=True)),
        ("A lamp [[slow 0.3s]]", Switches(text="A lamp", slow_seconds=0.3)),
        ("A lamp [[ Slow   20 S ]]", Switches(text="A lamp", slow_seconds=20)),
        ("A lamp [[slow 20]]", Switches(text="A lamp", slow_seconds=20)),
        ("A lamp [[corrupt]]", Switches(text="A lamp", corrupt=True)),
        (
            "[[slow 2s]] A lamp [[corrupt]][[nsfw]]",
            Switches(text="A lamp", slow_seconds=2, corrupt=True, nsfw=True),
        ),
        ("A lamp [fail] [[failure]] [[fail", Switches(text="A lamp [fail] [[failure]] [[fail")),
        ("A lamp [[fail@1000]]", Switches(text="A lamp [[fail@1000]]")),
        ("A lamp [[slow -1s]]", Switches(text="A lamp [[slow -1s]]")),
        ("[[nsfw]]", Switches(text="", nsfw=True)),
    ],
)
def test_switches_are_read_and_taken_out_of_the_text(prompt: str, switches: Switches) -> None:
    assert Switches.of(prompt) == switches


# ---------------------------------------------------------------------- clips


async def test_a_prompt_becomes_a_playable_clip(provider: LocalProvider, workers: MediaWorkers) -> None:
    await provider.submit(TASK)
    running = await provider.check(TASK.id)
    assert isinstance(running, Running)
    await _ended(provider)
    status = await provider.check(TASK.id)
    assert isinstance(status, Finished)
    assert status.cost_usd == 0
    facts = await workers.probe(Path(status.location))
    assert (facts.width, facts.height, round(facts.seconds)) == (256, 144, 1)


async def test_the_same_uuid_is_rendered_once(
    provider: LocalProvider, workers: _CountingWorkers, tmp_path: Path
) -> None:
    await asyncio.gather(*(provider.submit(TASK) for _ in range(5)))
    await provider.submit(replace(TASK, prompt="Something else"))
    await _ended(provider)
    await provider.submit(TASK)
    assert isinstance(await provider.check(TASK.id), Finished)
    assert workers.renders == 1
    assert len(_files(tmp_path)) == 1


async def test_a_verdict_can_be_asked_for_again(provider: LocalProvider) -> None:
    await provider.submit(TASK)
    await _ended(provider)
    first = await provider.check(TASK.id)
    assert isinstance(first, Finished)
    assert await provider.check(TASK.id) == first, "unknown is only what was never accepted"


async def test_progress_is_told_and_never_falls(provider: LocalProvider) -> None:
    await provider.submit(replace(TASK, seconds=10.0, width=640, height=360))
    heard: list[float] = []
    async with asyncio.timeout(30):
        while isinstance(status := await provider.check(TASK.id), Running):
            assert status.fraction is not None
            heard.append(status.fraction)
            await asyncio.sleep(0.01)
    assert isinstance(status, Finished)
    assert heard == sorted(heard)
    assert heard[0] >= 0
    assert 0 < heard[-1] <= 1


async def test_a_task_that_was_never_submitted_is_unknown(provider: LocalProvider) -> None:
    with pytest.raises(UnknownTask, match="nobody"):
        await provider.check("nobody")


async def test_a_prompt_of_switches_only_is_still_a_clip(provider: LocalProvider) -> None:
    assert isinstance(await _verdict(provider, "[[slow 0s]]"), Finished)


# ---------------------------------------------------------------------- failures on request


async def test_fail_ends_the_task_after_it_was_accepted(provider: LocalProvider, tmp_path: Path) -> None:
    status = await _verdict(provider, "A lamp [[fail]]")
    assert isinstance(status, Failed)
    assert (status.error.code, status.error.retryable) == ("provider", True)
    assert _files(tmp_path) == {}


@pytest.mark.parametrize("percent", [0, 10, 29])
async def test_fail_below_30_is_refused_at_once(provider: LocalProvider, percent: int) -> None:
    with pytest.raises(ProviderError) as refused:
        await provider.submit(_task(f"A lamp [[fail@{percent}]]"))
    assert refused.value.code == "provider"
    with pytest.raises(UnknownTask):
        await provider.check(TASK.id)


async def test_fail_at_50_shows_50_first(provider: LocalProvider) -> None:
    await provider.submit(_task("A lamp [[fail@50]]"))
    async with asyncio.timeout(5):
        while (status := await provider.check(TASK.id)) == Running(fraction=0.0):
            await asyncio.sleep(0)
    assert isinstance(status, Running)
    assert status.fraction is not None
    assert while_generating(status.fraction) == 50
    await _ended(provider)
    assert isinstance(await provider.check(TASK.id), Failed)


@pytest.mark.parametrize("percent", [70, 100])
async def test_fail_from_70_is_made_but_not_there(
    provider: LocalProvider, tmp_path: Path, percent: int
) -> None:
    status = await _verdict(provider, f"A lamp [[fail@{percent}]]")
    assert isinstance(status, Finished)
    assert Path(status.location).parent == tmp_path
    assert _files(tmp_path) == {}


async def test_nsfw_is_refused_and_pressing_again_is_no_use(provider: LocalProvider) -> None:
    status = await _verdict(provider, "A lamp [[nsfw]]")
    assert isinstance(status, Failed)
    assert (status.error.code, status.error.retryable) == ("safety", False)


async def test_slow_takes_longer(provider: LocalProvider) -> None:
    started = time.monotonic()
    status = await _verdict(provider, "A lamp [[slow 0.3s]][[nsfw]]")
    assert isinstance(status, Failed)
    assert time.monotonic() - started >= 0.3


async def test_corrupt_makes_a_file_that_is_no_video(
    provider: LocalProvider, workers: MediaWorkers, tmp_path: Path
) -> None:
    status = await _verdict(provider, "A lamp [[corrupt]]")
    assert isinstance(status, Finished)
    assert _files(tmp_path)[status.location] > 0
    with pytest.raises(MediaError) as refused:
        await workers.probe(Path(status.location))
    assert refused.value.code == "corrupt"


async def test_a_renderer_that_fails_fails_the_task_with_its_reason(
    provider: LocalProvider, tmp_path: Path
) -> None:
    provider._scratch = tmp_path / "gone"
    status = await _verdict(provider, "A lamp")
    assert isinstance(status, Failed)
    assert isinstance(status.error, ProviderError)
    assert status.error.message


# ---------------------------------------------------------------------- closing


async def test_closing_ends_all_renders_and_leaves_nothing(provider: LocalProvider, tmp_path: Path) -> None:
    before = children(os.getpid())
    long = replace(TASK, seconds=60.0, width=1280, height=720)
    for number in range(3):
        await provider.submit(replace(long, id=f"task-{number}"))
    await provider.submit(replace(TASK, id="slow", prompt="A lamp [[slow 1000s]]"))
    async with asyncio.timeout(20):
        while not children(os.getpid()) - before:
            await asyncio.sleep(0.01)
        await provider.close()
    assert children(os.getpid()) <= before
    assert _files(tmp_path) == {}
    with pytest.raises(UnknownTask):
        await provider.check("slow")


async def test_closing_twice_does_no_harm(provider: LocalProvider) -> None:
    await provider.submit(TASK)
    await provider.close()
    await provider.close()


async def test_health_says_what_it_can(provider: LocalProvider) -> None:
    health = await provider.health()
    assert health.ok
    assert "preview" in health.detail


async def test_a_renderer_that_breaks_fails_its_task_and_no_other(
    provider: LocalProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(MediaWorkers, "render_scene", broken)
        patch.setattr(_CountingWorkers, "render_scene", broken)
        await provider.submit(TASK)
        await _ended(provider)
    failed = await provider.check(TASK.id)
    assert isinstance(failed, Failed)
    assert failed.error.code == "internal"
    other = replace(TASK, id="another-task")
    await provider.submit(other)
    await _ended(provider, other.id)
    assert isinstance(await provider.check(other.id), Finished)
