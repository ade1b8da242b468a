"""The SDK without a service: all scenes at once by ``run()``, nothing kept but, if told so, the files.

    python -m bench.sdk_alone PROVIDER RESULT TAGS [FOLDER]

PROVIDER is host:port of the provider, TAGS a file with one prompt a line. A line on standard input starts it;
RESULT gets {"started": t, "noticed": {prompt: t}, "completed": {prompt: t}, "failed": n}, and standard output
a line. With FOLDER each video is downloaded there with aiohttp.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
from runware import Runware

_MODEL = "klingai:kling-video@3-standard"


def video_task(prompt: str) -> dict[str, Any]:
    """What the SDK wants for one scene."""
    return {
        "taskType": "videoInference",
        "deliveryMethod": "async",
        "model": _MODEL,
        "positivePrompt": prompt,
        "duration": 5,
        "width": 1280,
        "height": 720,
    }


class _Scenes:
    """Scenes under way, and when each came how far."""

    def __init__(self, sdk: Runware, http: aiohttp.ClientSession, folder: Path | None) -> None:
        self.noticed: dict[str, float] = {}
        self.completed: dict[str, float] = {}
        self._sdk = sdk
        self._http = http
        self._folder = folder
        self._numbers = itertools.count()

    async def make(self, prompt: str) -> None:
        found = await self._sdk.run(video_task(prompt))
        self.noticed[prompt] = time.time()
        if self._folder is not None:
            await self._download(str(found[0]["videoURL"]), self._folder / f"{next(self._numbers)}.mp4")
            self.completed[prompt] = time.time()

    async def _download(self, url: str, file: Path) -> None:
        async with self._http.get(url) as answer:
            answer.raise_for_status()
            with file.open("wb") as out:
                async for chunk in answer.content.iter_chunked(1 << 16):
                    out.write(chunk)


async def _run(provider: str, result: Path, prompts: list[str], folder: Path | None) -> None:
    urls = {"ws_base_url": f"ws://{provider}/v1", "http_base_url": f"http://{provider}/v1"}
    async with Runware(api_key=os.environ["RUNWARE_API_KEY"], **urls) as sdk, aiohttp.ClientSession() as http:
        await sdk.connect()
        print(f"asks http://{provider}", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        scenes, started = _Scenes(sdk, http, folder), time.time()
        outcomes = await asyncio.gather(*map(scenes.make, prompts), return_exceptions=True)
        failures = [outcome for outcome in outcomes if outcome is not None]
        for failure in failures[:3]:
            print(repr(failure), file=sys.stderr)
        times = {"started": started, "noticed": scenes.noticed, "completed": scenes.completed}
        await asyncio.to_thread(result.write_text, json.dumps({**times, "failed": len(failures)}))
        print("done", flush=True)
        await asyncio.to_thread(sys.stdin.readline)  # stay, to be measured


def main() -> None:
    provider, result, prompts, *folder = sys.argv[1:]
    lines = Path(prompts).read_text(encoding="utf-8").splitlines()
    asyncio.run(_run(provider, Path(result), lines, Path(folder[0]) if folder else None))


if __name__ == "__main__":
    main()
