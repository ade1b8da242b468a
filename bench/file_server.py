"""A fast local file server: the same file under any name, by sendfile.

python -m bench.file_server FILE
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from aiohttp import web


async def _serve(file: Path) -> None:
    async def answer(_: web.Request) -> web.FileResponse:
        return web.FileResponse(file)

    app = web.Application()
    app.router.add_get("/{name}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    asyncio.run(_serve(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
