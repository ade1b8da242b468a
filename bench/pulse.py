"""How long a server lets a trivial request wait, while others work it: its loop's lag, seen from outside.

    python -m bench.pulse URL

Asks every 50 ms until a line comes on standard input, and answers it with JSON: median, p99 and worst
latency in seconds. No question waits for the answer to an earlier one: twenty stand behind a stall of a
second, and each has waited for what was left of it.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time

import aiohttp

_INTERVAL = 0.05


async def _ask(http: aiohttp.ClientSession, url: str, latencies: list[float]) -> None:
    started = time.perf_counter()
    async with http.get(url) as answer:
        answer.raise_for_status()
        await answer.read()
    latencies.append(time.perf_counter() - started)


async def _pulse(url: str) -> None:
    timeout, connector = aiohttp.ClientTimeout(total=None), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
        latencies: list[float] = []
        await _ask(http, url, [])
        print(f"asks {url}", flush=True)
        stop = asyncio.create_task(asyncio.to_thread(sys.stdin.readline), name="stop")
        async with asyncio.TaskGroup() as group:
            due = time.perf_counter()
            while not stop.done():
                group.create_task(_ask(http, url, latencies))
                due += _INTERVAL
                await asyncio.wait({stop}, timeout=max(0.0, due - time.perf_counter()))
    p99 = statistics.quantiles(latencies, n=100, method="inclusive")[98]
    figures = {"median": statistics.median(latencies), "p99": p99, "worst": max(latencies)}
    print(json.dumps(figures), flush=True)


def main() -> None:
    asyncio.run(_pulse(sys.argv[1]))


if __name__ == "__main__":
    main()
