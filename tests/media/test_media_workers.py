# ruff: noqa: ASYNC240 - a test may look at its few small files at once
from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from service.media import process, workers
from service.media.facts import VideoFacts
from service.media.process import Order
from service.media.workers import MediaWorkers, media_missing
from sessions.errors import MediaError
from tests.media.kit import LONG, SMALL, alive, children, until


@pytest.fixture
def media() -> MediaWorkers:
    return MediaWorkers(renders=2, probes=1)


def workers_now() -> set[int]:
    return children(os.getpid())


class Started:
    """A long render that has begun: its progress has been heard."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.parts: list[float] = []

    def __call__(self, part: float) -> None:
        self.parts.append(part)
        self.event.set()


async def begin(media: MediaWorkers, out: Path) -> tuple[asyncio.Task[object], int]:
    """Start a long render; the task and the process that does it."""
    started, before = Started(), workers_now()
    task: asyncio.Task[object] = asyncio.create_task(media.render_scene(LONG, out, started), name="long")
    async with asyncio.timeout(20):
        await started.event.wait()
        while not [*out.parent.glob("*.part")]:
            await asyncio.sleep(0.005)
    (worker,) = workers_now() - before
    return task, worker


async def failure(awaitable: Awaitable[object]) -> MediaError:
    with pytest.raises(MediaError) as caught:
        await awaitable
    return caught.value


async def test_render(media: MediaWorkers, movie: Path, tmp_path: Path) -> None:
    out = tmp_path / "scène 1.mp4"
    progress = Started()
    facts = await media.render_scene(SMALL, out, progress)
    assert (facts.frames, facts.width, facts.web_problems) == (30, 256, ())
    assert out.read_bytes() == movie.read_bytes(), "a worker draws something else than this process"
    assert list(tmp_path.iterdir()) == [out]
    assert all(0 <= part <= 1 for part in progress.parts)


async def test_probe(media: MediaWorkers, movie: Path) -> None:
    facts = await media.probe(movie)
    assert (facts.container, facts.frames, facts.seconds, facts.web_problems) == ("mp4", 30, 1.0, ())


#: Stands in for the worker and does to each file what its name says; the codec is the file's name.
ACTOR = """
import json, os, pathlib, signal, sys, time
paths = [pathlib.Path(path) for path in json.load(sys.stdin)["job"]["paths"]]
for path in paths:
    if path.name.startswith("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    while path.name.startswith("hold") and not path.exists():
        time.sleep(0.005)
    facts = dict(container="mp4", width=1, height=1, seconds=1, frames=1, fps=1, video_codec=path.name)
    reply = {"result": facts | dict(audio_codec=None, faststart=True, web_problems=[])}
    if path.name.startswith("cut"):
        reply = {"error": path.name, "code": "corrupt", "retryable": True}
    print(json.dumps(reply if path is paths[-1] else {"verdict": reply}), flush=True)
"""


@pytest.fixture
def actor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_COMMAND", (sys.executable, "-I", "-c", ACTOR))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes that were started."""
    pids: list[int] = []
    start = asyncio.create_subprocess_exec

    async def count(*command: str, **options: Any) -> asyncio.subprocess.Process:
        process = await start(*command, **options)
        pids.append(process.pid)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", count)
    return pids


Probe = asyncio.Task[VideoFacts]


def probes(media: MediaWorkers, folder: Path, *names: str) -> list[Probe]:
    return [asyncio.create_task(media.probe(folder / name), name=name) for name in names]


async def verdicts(tasks: list[Probe]) -> list[str]:
    """Each file's codec, or the code and sentence of its error."""
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    return [
        end.video_codec if isinstance(end, VideoFacts) else f"{getattr(end, 'code', '')}: {end}"
        for end in ends
    ]


async def becomes(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def test_many_probes_share_processes(media: MediaWorkers, movie: Path, started: list[int]) -> None:
    found = await asyncio.gather(*(media.probe(movie) for _ in range(40)))
    assert [facts.frames for facts in found] == [30] * 40
    assert len(started) == 2, "one at once, and one for the 39 that had to wait"


@pytest.mark.parametrize(
    ("slots", "sizes"), [(1, [1, 200, 200, 2]), (2, [1, 1, 200, 200, 1]), (500, [1] * 403)]
)
async def test_how_many_probes_share_a_process(
    slots: int, sizes: list[int], movie: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, started = asdict(await MediaWorkers().probe(movie)), []

    async def look(order: Order, seconds: float, listener: process.Listener) -> process.Message:
        paths = order.job["paths"]
        assert isinstance(paths, list)
        started.append(len(paths))
        for _ in paths[1:]:
            listener({"verdict": {"result": facts}})
        await asyncio.sleep(0)
        return facts

    monkeypatch.setattr(workers, "run", look)
    media = MediaWorkers(probes=slots)
    assert len(await asyncio.gather(*(media.probe(movie) for _ in range(403)))) == 403
    assert started == sizes


async def test_each_of_many_files_gets_its_own_verdict(
    media: MediaWorkers, movie: Path, tmp_path: Path, started: list[int]
) -> None:
    size = movie.stat().st_size
    (tmp_path / "cut.mp4").write_bytes(movie.read_bytes()[:-1])
    (tmp_path / "text.mp4").write_bytes(b"<html>")
    names = [str(movie), "cut.mp4", str(movie), "none.mp4", "text.mp4", ".", str(movie)]
    assert await verdicts(probes(media, tmp_path, *names)) == [
        "h264",
        f"corrupt: The file is cut short: the samples reach byte {size} of {size - 1}.",
        "h264",
        "input: There is no such file or folder.",
        "corrupt: The file is text, perhaps an error page, and not a video.",
        "input: There is no such file or folder.",
        "h264",
    ]
    assert len(started) == 2


async def test_too_little_memory_for_many(tmp_path: Path, movie: Path) -> None:
    tasks = probes(MediaWorkers(probes=1, memory_mb=8), tmp_path, *[str(movie)] * 3)
    assert await verdicts(tasks) == ["memory: There was not enough memory for this."] * 3


@pytest.mark.usefixtures("actor")
async def test_a_file_that_kills_the_process_harms_no_other(
    media: MediaWorkers, tmp_path: Path, started: list[int]
) -> None:
    names = ["first", "a", "cut", "kill 1", "b", "kill 2", "cut last"]
    killed = "killed: The media worker was ended by signal 9, perhaps for lack of memory."
    tasks = probes(media, tmp_path, *names)
    assert await verdicts(tasks) == ["first", "a", "corrupt: cut", killed, "b", killed, "corrupt: cut last"]
    assert len(started) == 2 + 4, "the four without a verdict were looked at again, one by one"


@pytest.mark.usefixtures("actor")
async def test_a_file_that_hangs_harms_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's clock jumps, so that nothing but the hanging file can be too slow."""
    loop, ahead = asyncio.get_running_loop(), 0.0
    monkeypatch.setattr(loop, "time", lambda: time.monotonic() + ahead)
    media = MediaWorkers(probes=1, probe_timeout=3000)
    first, before, hanging, after = probes(media, tmp_path, "first", "before", "hold", "after")
    await asyncio.wait({first, before})
    while not hanging.done():
        ahead += 4000
        await asyncio.sleep(0.005)
    assert await verdicts([first, before, hanging, after]) == [
        "first",
        "before",
        "timeout: The media work took longer than 3000 seconds.",
        "after",
    ]


@pytest.mark.usefixtures("actor")
async def test_each_file_has_its_own_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, ahead = asyncio.get_running_loop(), 0.0
    monkeypatch.setattr(loop, "time", lambda: time.monotonic() + ahead)

    def hear(_: process.Message) -> None:
        nonlocal ahead
        ahead += 2000
        (tmp_path / f"hold {ahead:.0f}").touch()

    names = ["a", "hold 2000", "hold 4000", "hold 6000"]
    order = Order(op="probe", job={"paths": [str(tmp_path / name) for name in names]}, nice=0, memory=1 << 30)
    assert (await process.run(order, 3000, hear))["video_codec"] == "hold 6000"


@pytest.mark.usefixtures("actor")
async def test_cancelling_one_of_many_probes(media: MediaWorkers, tmp_path: Path, started: list[int]) -> None:
    first, early, held, waiting, late = probes(media, tmp_path, "first", "early", "hold", "waiting", "late")
    assert (await early).video_codec == "early", "an answer comes before the process has ended"
    for task in (held, waiting):
        task.cancel()
    await asyncio.wait({held, waiting})
    assert workers_now() == {started[-1]}
    (tmp_path / "hold").touch()
    assert await verdicts([first, early, late]) == ["first", "early", "late"]
    assert (held.cancelled(), waiting.cancelled(), len(started)) == (True, True, 2)


@pytest.mark.usefixtures("actor")
async def test_cancelling_the_last_of_many_probes_ends_the_process(
    media: MediaWorkers, tmp_path: Path
) -> None:
    _, early, held, late = probes(media, tmp_path, "first", "early", "hold", "late")
    await early
    late.cancel()
    await asyncio.wait({late})
    (worker,) = workers_now()
    held.cancel()
    await asyncio.wait({held})
    assert not alive(worker)
    assert await verdicts(probes(media, tmp_path, "next")) == ["next"]


@pytest.mark.usefixtures("actor")
async def test_what_nobody_waits_for_is_not_probed(media: MediaWorkers, tmp_path: Path) -> None:
    _, early, held, endless = probes(media, tmp_path, "first", "early", "hold 1", "hold 2")
    await early
    endless.cancel()
    await asyncio.wait({endless})
    (tmp_path / "hold 1").touch()
    await held
    assert await verdicts(probes(media, tmp_path, "next")) == ["next"]


@pytest.mark.usefixtures("actor")
async def test_a_cancelled_probe_that_waits_in_line_starts_nothing(
    media: MediaWorkers, tmp_path: Path, started: list[int]
) -> None:
    first, *others = probes(media, tmp_path, "hold", "a", "b")
    await becomes(lambda: started)
    for task in others:
        task.cancel()
    await asyncio.wait(others)
    (tmp_path / "hold").touch()
    await first
    assert await verdicts(probes(media, tmp_path, "next")) == ["next"]
    assert len(started) == 2


@pytest.mark.usefixtures("actor")
@pytest.mark.parametrize("turns", [0, 1, 2, 5, 20])
async def test_cancelling_a_probe_at_the_start_frees_its_place(
    media: MediaWorkers, tmp_path: Path, turns: int
) -> None:
    tasks = probes(media, tmp_path, "hold", "hold")
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    assert workers_now() == set()
    assert await verdicts(probes(media, tmp_path, "next")) == ["next"]


async def test_progress_comes_at_most_five_times_a_second(media: MediaWorkers, tmp_path: Path) -> None:
    progress, start = Started(), time.monotonic()
    await media.render_scene(replace(SMALL, seconds=20, width=640, height=360), tmp_path / "a.mp4", progress)
    assert progress.parts == sorted(progress.parts)
    assert 1 <= len(progress.parts) <= (time.monotonic() - start) * 5 + 1


async def test_a_damaged_file(media: MediaWorkers, movie: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(movie.read_bytes()[:-1])
    error = await failure(media.probe(path))
    assert error.code == "corrupt"
    assert "cut short" in error.message


async def test_a_file_that_is_not_there(media: MediaWorkers, tmp_path: Path) -> None:
    for awaitable in (media.probe(tmp_path / "no.mp4"), media.render_scene(SMALL, tmp_path / "no" / "a.mp4")):
        error = await failure(awaitable)
        assert (error.code, error.retryable) == ("input", False)
        assert error.message == "There is no such file or folder."


async def test_cancelling_leaves_nothing(media: MediaWorkers, tmp_path: Path) -> None:
    task, worker = await begin(media, tmp_path / "a.mp4")
    start = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - start < 10, "long before the work itself would end"
    assert not alive(worker)
    assert list(tmp_path.iterdir()) == []


async def test_a_stopped_worker_is_killed(media: MediaWorkers, tmp_path: Path) -> None:
    """One that does not react to SIGTERM."""
    task, worker = await begin(media, tmp_path / "a.mp4")
    os.kill(worker, signal.SIGSTOP)
    start = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - start < 10, "long before the work itself would end"
    assert not alive(worker)
    assert list(tmp_path.iterdir()) == []


async def test_cancelling_twice_leaves_nothing(media: MediaWorkers, tmp_path: Path) -> None:
    task, worker = await begin(media, tmp_path / "a.mp4")
    os.kill(worker, signal.SIGSTOP)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(worker)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("turns", [1, 2, 5, 20])
async def test_cancelling_at_the_start_leaves_nothing(
    media: MediaWorkers, tmp_path: Path, turns: int
) -> None:
    task = asyncio.create_task(media.render_scene(LONG, tmp_path / "a.mp4"), name="early")
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert workers_now() == set()
    assert list(tmp_path.iterdir()) == []


async def test_an_older_file_survives_a_failure(media: MediaWorkers, tmp_path: Path) -> None:
    out = tmp_path / "a.mp4"
    out.write_bytes(b"older")
    task, worker = await begin(media, out)
    os.kill(worker, signal.SIGKILL)
    await failure(task)
    assert out.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [out]


async def test_a_killed_worker(media: MediaWorkers, tmp_path: Path) -> None:
    task, worker = await begin(media, tmp_path / "a.mp4")
    os.kill(worker, signal.SIGKILL)
    error = await failure(task)
    assert error.code == "killed"
    assert error.message == "The media worker was ended by signal 9, perhaps for lack of memory."
    assert error.retryable
    assert list(tmp_path.iterdir()) == []


async def test_too_slow(tmp_path: Path) -> None:
    media = MediaWorkers(render_timeout=0.3)
    error = await failure(media.render_scene(LONG, tmp_path / "a.mp4"))
    assert (error.code, error.message) == ("timeout", "The media work took longer than 0.3 seconds.")
    assert workers_now() == set()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("megabytes", [8, 24, 60, 80, 110])
async def test_too_little_memory(megabytes: int, tmp_path: Path) -> None:
    error = await failure(MediaWorkers(memory_mb=megabytes).render_scene(LONG, tmp_path / "a.mp4"))
    assert (error.code, error.message) == ("memory", "There was not enough memory for this.")
    assert list(tmp_path.iterdir()) == []


async def test_a_failing_listener_ends_the_work(media: MediaWorkers, tmp_path: Path) -> None:
    def fail(_: float) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await media.render_scene(LONG, tmp_path / "a.mp4", fail)
    assert workers_now() == set()
    assert list(tmp_path.iterdir()) == []


async def test_no_more_renders_than_allowed_and_probes_do_not_wait(movie: Path, tmp_path: Path) -> None:
    media = MediaWorkers(renders=1)
    first, _ = await begin(media, tmp_path / "a.mp4")
    second = asyncio.create_task(media.render_scene(SMALL, tmp_path / "b.mp4"), name="second")
    assert (await media.probe(movie)).frames == 30
    assert not first.done()
    assert not second.done()
    assert len(workers_now()) == 1
    first.cancel()
    assert (await second).frames == 30


async def test_the_worker_gets_no_secrets(
    media: MediaWorkers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNWARE_API_KEY", "secret")
    monkeypatch.setenv("DATABASE_URL", "secret")
    task, worker = await begin(media, tmp_path / "a.mp4")
    lines = Path(f"/proc/{worker}/environ").read_text().split("\0")
    task.cancel()
    await asyncio.wait({task})
    names = {line.partition("=")[0] for line in lines if line}
    assert names <= {"PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX"}
    assert "secret" not in "".join(lines)


async def test_the_worker_limits_itself(media: MediaWorkers, tmp_path: Path) -> None:
    task, worker = await begin(media, tmp_path / "a.mp4")
    limits = Path(f"/proc/{worker}/limits").read_text()
    nice = os.getpriority(os.PRIO_PROCESS, worker)
    session = os.getsid(worker)
    task.cancel()
    await asyncio.wait({task})
    rows = {row[:26].strip(): row[26:].split()[:2] for row in limits.splitlines()}
    assert rows["Max core file size"] == ["0", "0"]
    assert rows["Max data size"] == [str(1500 << 20)] * 2
    assert nice == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    assert session == worker


PARENT = """
import asyncio, sys
from pathlib import Path
from service.media.workers import MediaWorkers
from tests.media.kit import LONG
asyncio.run(MediaWorkers().render_scene(LONG, Path(sys.argv[1]), lambda part: print(part, flush=True)))
"""


def test_the_worker_dies_with_its_parent(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", PARENT, str(tmp_path / "a.mp4")]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline()
        (worker,) = children(parent.pid)
        parent.kill()
    until(lambda: not alive(worker), 2.0)


def test_a_worker_whose_parent_is_gone_does_nothing(movie: Path) -> None:
    """Its parent died while it started: the order names another process than the one above it."""
    order = {"op": "probe", "parent": 2**22 + 1, "nice": 0, "memory": 1 << 30, "job": {"paths": [str(movie)]}}
    done = subprocess.run(
        [sys.executable, "-I", "-m", "service.media.worker"],
        input=json.dumps(order).encode(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.parametrize(
    ("script", "code", "message"),
    [
        ("import sys; sys.exit(3)", "internal", "The media worker ended without an answer."),
        ("print('not JSON')", "internal", "The media worker wrote something unreadable."),
        ("print('[]')", "internal", "The media worker wrote something unreadable."),
        ("print('x' * 200_000)", "internal", "The media worker wrote something unreadable."),
        ("import os; os.abort()", "killed", "The media worker was ended by signal 6."),
        (
            "import sys; sys.stdin.close(); sys.exit('no')",
            "internal",
            "The media worker ended without an answer.",
        ),
    ],
    ids=["silent", "text", "list", "flood", "abort", "deaf"],
)
async def test_strange_workers(
    script: str, code: str, message: str, movie: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_COMMAND", (sys.executable, "-I", "-c", script))
    error = await failure(MediaWorkers().probe(movie))
    assert (error.code, error.message) == (code, message)


async def test_much_noise_on_standard_error_does_no_harm(
    media: MediaWorkers, movie: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "import sys; sys.stderr.write('x' * 3_000_000 + 'the end'); sys.exit(1)"
    monkeypatch.setattr(process, "_COMMAND", (sys.executable, "-I", "-c", script))
    error = await failure(media.probe(movie))
    assert error.details["stderr"].endswith("the end")
    assert len(error.details["stderr"]) == 2000


@pytest.mark.parametrize(
    ("present", "sentence"),
    [
        ({"av", "numpy", "PIL"}, None),
        ({"av", "numpy"}, 'pillow is not installed; run: pip install "scenewright[media]"'),
        (set(), 'av, numpy and pillow are not installed; run: pip install "scenewright[media]"'),
    ],
    ids=["all", "one", "none"],
)
async def test_missing_packages(
    present: set[str], sentence: str | None, media: MediaWorkers, movie: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "find_spec", lambda name: name if name in present else None)
    monkeypatch.setattr(workers, "media_missing", media_missing.__wrapped__)  # which is looked up only once
    assert workers.media_missing() == sentence
    if sentence:
        error = await failure(media.probe(movie))
        assert sentence in error.message
        assert not error.retryable
