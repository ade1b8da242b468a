"""The service's downloader and outputs folder, with nothing else of the service.

    python -m bench.fetching URL FOLDER COUNT

A line on standard input, "fetch" or "publish", starts COUNT downloads at once, and is answered when all
are there: gathered as parts, or on disk under their names.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from service.media.download import Downloader
from service.settings import load_settings
from service.storage.outputs import Outputs


async def _round(downloader: Downloader, outputs: Outputs, url: str, count: int, *, publish: bool) -> None:
    async def one(number: int) -> None:
        name = f"film-{number}.mp4"
        await downloader.fetch(f"{url}/{name}", outputs.part(name))
        if publish:
            await outputs.publish(name)

    await asyncio.gather(*map(one, range(count)))


async def _serve(url: str, folder: Path, count: int) -> None:
    settings = load_settings({"provider": "local"}, environ={})
    outputs, downloader = Outputs(folder), Downloader(settings.downloads, scratch=folder)
    outputs.open()
    await downloader.open()
    print(f"fetches from {url}", flush=True)
    while order := (await asyncio.to_thread(sys.stdin.readline)).strip():
        await _round(downloader, outputs, url, count, publish=order == "publish")
        print("done", flush=True)
    await downloader.close()


def main() -> None:
    url, folder, count = sys.argv[1:]
    asyncio.run(_serve(url, Path(folder), int(count)))


if __name__ == "__main__":
    main()
