"""The least that aiohttp can do for a status poll: ready bytes and ready headers, nothing around them.

    python -m bench.bare ANSWERS

ANSWERS is JSON, {job: {"headers": {...}, "body": "..."}}.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from aiohttp import hdrs, web


@dataclass(frozen=True, kw_only=True)
class _Answer:
    headers: dict[str, str]
    body: bytes


def _application(answers: dict[str, _Answer]) -> web.Application:
    async def status(request: web.Request) -> web.Response:
        answer = answers[request.match_info["job_id"]]
        known = request.headers.get(hdrs.IF_NONE_MATCH)
        if known == answer.headers[hdrs.ETAG]:
            headers = {name: text for name, text in answer.headers.items() if name != hdrs.CONTENT_TYPE}
            return web.Response(status=304, headers=headers)
        return web.Response(body=answer.body, headers=answer.headers)

    app = web.Application()
    app.router.add_get("/api/videos/status/{job_id}", status)
    return app


async def _serve(answers: dict[str, _Answer]) -> None:
    runner = web.AppRunner(_application(answers), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    read = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answers = {job: _Answer(headers=it["headers"], body=it["body"].encode()) for job, it in read.items()}
    asyncio.run(_serve(answers))


if __name__ == "__main__":
    main()
