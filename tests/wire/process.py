"""The server in a process of its own, so that it outlives a killed service and its event loop.

async with RunwareProcess(tmp_path) as server:
    await server.script("hook", {"hold": True})
    ...
    await server.wait_for_charges(4)
    await server.release("hook")
    assert (await server.state())["paid_twice"] == []
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.wire.ledger import Charge, read_journal
from tests.wire.tasks import Json

_ROOT = Path(__file__).resolve().parents[2]
_PAUSE = 0.02


class RunwareProcess:
    """Starts `python -m tests.wire.runware_server` and controls it over HTTP."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        #: the charges as JSON lines; readable while the server runs and after it
        self.journal = folder / "charges.jsonl"
        self.port = 0
        self._port_file = folder / "runware.port"
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        command = ["-m", "tests.wire.runware_server", "--port-file", str(self._port_file)]
        command += ["--journal", str(self.journal), *self._arguments]
        self._process = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=_ROOT)
        self._session = aiohttp.ClientSession()
        await self._until(self._listens, what="port", timeout=20.0)
        self.port = int(self._port_file.read_text(encoding="utf-8"))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._session is not None:
            await self._session.close()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def files_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/files"

    @property
    def charges(self) -> list[Charge]:
        return read_journal(self.journal)

    async def state(self) -> Json:
        """`charges`, `paid_twice`, `deliveries`, and counts such as `submits` and `reads`."""
        async with self._client.get(f"{self._control}/state") as response:
            state: Json = await response.json()
        return state

    async def counts(self) -> Json:
        """`submits`, `reads` and `downloads`."""
        async with self._client.get(f"{self._control}/counts") as response:
            counts: Json = await response.json()
        return counts

    async def script(self, substring: str, *scripts: Json) -> None:
        """Like `RunwareServer.script`, with the fields of `Script` as objects; "" sets the default."""
        await self._order("script", prompt=substring, scripts=scripts)

    async def script_text(self, *answers: str, seconds: float = 0.0) -> None:
        await self._order("text", answers=answers, seconds=seconds)

    async def release(self, substring: str = "") -> int:
        return int(await self._order("release", prompt=substring))

    async def report_progress(self, substring: str, percent: int) -> int:
        return int(await self._order("progress", prompt=substring, percent=percent))

    async def forget(self, substring: str = "", *, wholly: bool = False) -> int:
        return int(await self._order("forget", prompt=substring, wholly=wholly))

    async def drop_connections(self, code: int | None = None) -> int:
        return int(await self._order("drop", code=code))

    async def refuse_connections(self, refuse: bool = True) -> None:
        await self._order("refuse", refuse=refuse)

    async def refuse_next(self, count: int, status: int = 503) -> None:
        await self._order("refuse-next", count=count, status=status)

    async def wait_for_charges(self, count: int = 1, timeout: float = 20.0) -> list[Charge]:  # noqa: ASYNC109 - a test says how patient it is
        await self._until(lambda: len(self.charges) >= count, what=f"{count} charges", timeout=timeout)
        return self.charges

    @property
    def _control(self) -> str:
        return f"http://127.0.0.1:{self.port}/control"

    @property
    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the server is not running")
        return self._session

    async def _order(self, name: str, **order: Any) -> Any:
        async with self._client.post(f"{self._control}/{name}", json=order) as response:
            response.raise_for_status()
            return (await response.json())["result"]

    def _listens(self) -> bool:
        if self._process is not None and self._process.returncode is not None:
            raise RuntimeError(f"the server ended with {self._process.returncode}")
        return self._port_file.exists()

    async def _until(self, happened: Callable[[], bool], *, what: str, timeout: float) -> None:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(timeout):
                while not happened():
                    await asyncio.sleep(_PAUSE)
        except TimeoutError:
            raise TimeoutError(f"no {what} within {timeout} s") from None
