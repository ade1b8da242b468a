"""One worker process from the service's side: start it, listen to it, be sure that it has ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sessions.errors import MediaError

Message = Mapping[str, Any]
#: hears a worker's lines but the last
Listener = Callable[[Message], None]

#: -I: neither the folder nor the environment may lend it other modules
_COMMAND = (sys.executable, "-I", "-m", "service.media.worker")
#: what a worker gets from the service's environment: no keys, no passwords
_INHERITED = ("PATH", "TMPDIR", "LD_LIBRARY_PATH")
_OWN = {"HOME": "/nonexistent", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
#: seconds between asking a worker to end and making it
_GRACE = 0.1
#: bytes of its standard error that are kept
_TAIL = 2000


@dataclass(frozen=True, kw_only=True)
class Order:
    """A piece of work and its limits."""

    #: "scene" or "probe"
    op: str
    job: Mapping[str, object]
    #: steps that the worker stands behind the service for the processor
    nice: int
    #: bytes of heap
    memory: int

    def to_json(self) -> bytes:
        """As the worker reads it."""
        record = {
            "op": self.op,
            "parent": os.getpid(),
            "nice": self.nice,
            "memory": self.memory,
            "job": self.job,
        }
        return json.dumps(record).encode()


async def run(order: Order, seconds: float, listener: Listener) -> Message:
    """The worker's result, within so many seconds of the order or of its last verdict; MediaError otherwise.

    The process is gone when this returns or raises.
    """
    process = await asyncio.create_subprocess_exec(
        *_COMMAND,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,  # Ctrl-C in the terminal is the service's to handle
        env=_OWN | {name: os.environ[name] for name in _INHERITED if name in os.environ},
    )
    tail = asyncio.create_task(_tail(process), name=f"media-stderr-{process.pid}")
    reply: Message | None = None

    def hear(message: Message) -> None:
        if "verdict" in message:
            clock.reschedule(asyncio.get_running_loop().time() + seconds)
        listener(message)

    try:
        async with asyncio.timeout(seconds) as clock:
            reply = await _talk(process, order, hear)
            await process.wait()
    except TimeoutError as exc:
        if not clock.expired():
            raise
        raise MediaError(f"The media work took longer than {seconds:g} seconds.", code="timeout") from exc
    finally:
        await _end(process)
        await asyncio.wait({tail})
    if reply and "result" in reply:
        result: Message = reply["result"]
        return result
    raise _failure(process, reply, tail.result())


def refusal(reply: Message, **details: object) -> MediaError:
    """The error that a worker replied."""
    return MediaError(
        reply["error"],
        code=reply["code"],
        retryable=reply["retryable"],
        details=details | reply.get("details", {}),
    )


async def _talk(process: Process, order: Order, hear: Listener) -> Message | None:
    """Hand over the order and listen; the reply, if there was one."""
    assert process.stdin is not None
    assert process.stdout is not None
    reply: Message | None = None
    with suppress(BrokenPipeError, ConnectionResetError):  # it ended early: its exit code will tell
        process.stdin.write(order.to_json())
        await process.stdin.drain()
    process.stdin.close()
    while message := await _message(process.stdout):
        if "progress" in message or "verdict" in message:
            hear(message)
        else:
            reply = message
    return reply


async def _message(stdout: asyncio.StreamReader) -> Message:
    """The next line; empty at the end."""
    try:
        line = await stdout.readline()
        message = json.loads(line or "{}")
    except ValueError:  # no JSON, or a line without end
        message = None
    if not isinstance(message, dict):
        raise MediaError("The media worker wrote something unreadable.", code="internal")
    return message


async def _tail(process: Process) -> str:
    """The end of standard error, which is read to the end so that the worker never blocks on it."""
    assert process.stderr is not None
    kept = b""
    while chunk := await process.stderr.read(4096):
        kept = (kept + chunk)[-_TAIL:]
    return kept.decode(errors="replace").strip()


async def _end(process: Process) -> None:
    """Make sure the process has ended: asked first, then made; a cancellation meanwhile makes it at once."""
    try:
        if process.returncode is None:
            _signal(process, signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _GRACE)
    finally:
        if process.returncode is None:
            _signal(process, signal.SIGKILL)
            await process.wait()


def _signal(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _failure(process: Process, reply: Message | None, tail: str) -> MediaError:
    """What the worker said, or what its exit code says."""
    code = process.returncode or 0
    details = {"exit_code": code, "stderr": tail}
    if reply:
        return refusal(reply, **details)
    if code < 0:
        why = ", perhaps for lack of memory" if -code == signal.SIGKILL else ""
        sentence = f"The media worker was ended by signal {-code}{why}."
        return MediaError(sentence, code="killed", details=details)
    return MediaError("The media worker ended without an answer.", code="internal", details=details)
