"""Many large downloads at once: the service's downloader against curl, from one server to one disk.

python -m bench.downloads [--files 100] [--mb 50] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.house import Process, median, scratch, table
from bench.proc import Usage

_BLOCK = 1_000_000
_SAMPLE = 0.02


@dataclass(kw_only=True)
class Figures:
    """Rounds of one contender."""

    name: str
    seconds: list[float] = field(default_factory=list)
    added_mib: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is downloaded, and whereto."""

    url: str
    folder: Path
    files: int
    size: int

    def check(self) -> None:
        """All there and whole; then away with them, for the next round."""
        found = [file for file in self.folder.iterdir() if file.stat().st_size == self.size]
        if len(found) != self.files:
            raise SystemExit(f"{len(found)} of {self.files} files are whole")
        for file in found:
            file.unlink()


async def ours(load: Load, figures: Figures, *, publish: bool) -> None:
    """In a fresh process: one that has downloaded before keeps memory of it."""
    log = load.folder.with_name("fetching.log")
    arguments = (load.url, str(load.folder), str(load.files))
    async with Process("bench.fetching", *arguments, log=log) as fetching:
        usage = fetching.usage
        usage.forget_peak()
        before, cpu = usage.resident_mib() or 0.0, usage.cpu_seconds() or 0.0
        started = time.perf_counter()
        await fetching.ask("publish" if publish else "fetch")
        figures.seconds.append(time.perf_counter() - started)
        figures.added_mib.append((usage.peak_mib() or 0.0) - before)
        figures.cpu.append((usage.cpu_seconds() or 0.0) - cpu)


async def curl(load: Load, figures: Figures, *, sync: bool) -> None:
    """One process of it; ``sync``: its files are put on disk afterwards, as ours are."""
    started = time.perf_counter()
    log = load.folder.with_name("curl.log")
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            "curl",
            *("--silent", "--show-error", "--fail"),
            *("--parallel", "--parallel-immediate", "--parallel-max", str(load.files)),
            *("--output", str(load.folder / "film-#1.mp4")),
            f"{load.url}/film-[1-{load.files}].mp4",
            stderr=errors,  # its progress meter cannot be silenced
        )
    usage, peak, cpu = Usage(process.pid), 0.0, 0.0
    ended = asyncio.create_task(process.wait(), name="curl")
    while not ended.done():
        peak, cpu = usage.peak_mib() or peak, usage.cpu_seconds() or cpu
        await asyncio.wait({ended}, timeout=_SAMPLE)
    if process.returncode:
        raise SystemExit(f"curl ended with {process.returncode}: {log.read_text(encoding='utf-8')[-500:]}")
    if sync:
        await asyncio.gather(*(asyncio.to_thread(_sync, file) for file in load.folder.iterdir()))
    figures.seconds.append(time.perf_counter() - started)
    figures.added_mib.append(peak)
    figures.cpu.append(cpu)


def _sync(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def _row(figures: Figures, load: Load) -> list[str]:
    megabytes = load.files * load.size / 1e6
    rates = [megabytes / seconds for seconds in figures.seconds]
    line = [figures.name, f"{median(rates):,.0f}", f"{min(rates):,.0f} to {max(rates):,.0f}"]
    return [*line, f"{median(figures.added_mib):,.0f}", f"{median(figures.cpu) / megabytes * 1000:.2f}"]


async def bench(folder: Path, files: int, size: int, rounds: int) -> None:
    film, target = folder / "film.mp4", folder / "target"
    target.mkdir()
    with film.open("wb") as out:
        for _ in range(size // _BLOCK):
            out.write(os.urandom(_BLOCK))
    async with Process("bench.file_server", str(film), log=folder / "server.log") as server:
        load = Load(url=server.address, folder=target, files=files, size=size)
        contenders: dict[str, Callable[[Figures], Awaitable[None]]] = {
            "downloader": lambda it: ours(load, it, publish=False),
            "curl": lambda it: curl(load, it, sync=False),
            "downloader, fsync and rename": lambda it: ours(load, it, publish=True),
            "curl, then fsync": lambda it: curl(load, it, sync=True),
        }
        if not shutil.which("curl"):
            print("SKIPPED: curl, because there is none on this machine")
            contenders = {name: run for name, run in contenders.items() if "curl" not in name}
        figures = {name: Figures(name=name) for name in contenders}
        for _ in range(rounds):
            for name, run in contenders.items():
                await asyncio.to_thread(os.sync)  # nobody waits for another's writes
                await run(figures[name])
                load.check()
    title = f"{files} downloads of {size / 1e6:g} MB at once, medians of {rounds} rounds"
    head = ("contender", "MB/s", "rounds", "added MiB", "CPU ms/MB")
    table(title, head, [_row(it, load) for it in figures.values()])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.downloads")
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--mb", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with scratch() as folder:
        asyncio.run(bench(folder, given.files, given.mb * _BLOCK, given.rounds))


if __name__ == "__main__":
    main()
