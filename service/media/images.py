"""Images that users send, made harmless: decoded in a process of their own and written anew.

What comes out holds nothing of what came in but its picture: no metadata, no hidden second file.
Nothing here loads Pillow.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from dataclasses import dataclass

import structlog

from service.media.workers import media_missing
from sessions.errors import ConfigError, InvalidInput, MediaError

_log = structlog.get_logger(__name__)

#: -I: neither the folder nor the environment may lend it other modules
_COMMAND = (sys.executable, "-I", "-m", "service.media.image_worker")
#: what the worker gets from the service's environment: no keys, no passwords
_INHERITED = ("PATH", "TMPDIR", "LD_LIBRARY_PATH")
_OWN = {"HOME": "/nonexistent", "MALLOC_ARENA_MAX": "2"}
#: behind the service, which answers others meanwhile, and before renders, for which nobody waits here
_NICE = 5
#: heap of a worker: measured with pictures of 25 megapixels, of which WebP with alpha needs most
_MEMORY_MB, _MEMORY_MB_PER_MEGAPIXEL = 140, 20
#: bytes that are read of a worker's answer (noise of 2048 x 2048 pixels takes half) and of its complaints
_ANSWER_LIMIT, _NOISE_LIMIT = 32 << 20, 4000
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


@dataclass(frozen=True, kw_only=True)
class Image:
    """A picture that is safe to keep, to show and to send on."""

    #: the whole file
    data: bytes
    #: what it is, whatever came in: image/jpeg
    media_type: str
    #: pixels, as it is meant to be seen
    width: int
    #: pixels, as it is meant to be seen
    height: int


class BadImage(InvalidInput):
    """The image cannot be used."""

    code = "bad_image"


class ImageCleaner:
    """Cleans images, a bounded number at a time; the rest waits in line.

    ``limit_mib`` is the largest file, ``megapixels`` the largest picture that is decoded at all;
    ``least_side`` and ``longest_side`` are in pixels, ``seconds`` are for one image.
    """

    def __init__(
        self,
        *,
        limit_mib: int = 10,
        megapixels: int = 25,
        least_side: int = 64,
        longest_side: int = 2048,
        seconds: float = 10.0,
        at_once: int | None = None,
    ) -> None:
        self._limit_mib = limit_mib
        self._seconds = seconds
        self._order = {
            "parent": os.getpid(),
            "nice": _NICE,
            "memory": (_MEMORY_MB + _MEMORY_MB_PER_MEGAPIXEL * megapixels) << 20,
            "megapixels": megapixels,
            "least_side": least_side,
            "longest_side": longest_side,
        }
        self._slots = asyncio.Semaphore(at_once or os.cpu_count() or 1)

    async def cleaned(self, data: bytes) -> Image:
        """The picture in a PNG, JPEG or WebP file, as a new JPEG: upright, opaque (on white), in sRGB,
        no larger than ``longest_side``; of an animation, the first frame.

        Raises ``BadImage``; ``ConfigError`` where Pillow is not installed; ``MediaError`` if the
        work could not be done for reasons that are not the image's. Cancelling ends the work at once.
        """
        self._look(data)
        if missing := media_missing():
            raise ConfigError(f"This server cannot take images: {missing}")
        async with self._slots:
            return await self._work(data)

    def _look(self, data: bytes) -> None:
        """Refuse what needs no process to be seen."""
        if not data:
            raise BadImage("The image is empty")
        if len(data) > self._limit_mib << 20:
            raise BadImage(f"The image is larger than {self._limit_mib} MiB")
        is_webp = data.startswith(b"RIFF") and data[8:12] == b"WEBP"
        if not (is_webp or data.startswith(_SIGNATURES)):
            raise BadImage("The file is not an image of a kind that is taken; send PNG, JPEG or WebP")

    async def _work(self, data: bytes) -> Image:
        process = await asyncio.create_subprocess_exec(
            *_COMMAND,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,  # Ctrl-C in the terminal is the service's to handle
            env=_OWN | {name: os.environ[name] for name in _INHERITED if name in os.environ},
        )
        assert process.stdout is not None
        assert process.stderr is not None
        # Both are read to their ends, come what may: a pipe that nobody empties is never closed.
        answer = asyncio.create_task(_start_of(process.stdout, _ANSWER_LIMIT), name="image-answer")
        noise = asyncio.create_task(_start_of(process.stderr, _NOISE_LIMIT), name="image-stderr")
        try:
            async with asyncio.timeout(self._seconds) as clock:
                await _feed(process, json.dumps(self._order).encode() + b"\n", data)
                await asyncio.wait({answer, noise})
                await process.wait()
        except TimeoutError:
            if not clock.expired():
                raise
            raise BadImage(f"The image took longer than {self._seconds:g} seconds to read") from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
            await asyncio.wait({answer, noise})
        return _image(answer.result(), process.returncode, noise.result())


async def _feed(process: Process, *parts: bytes) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError, ConnectionResetError):  # it ended early: its exit code will tell
        process.stdin.writelines(parts)
        await process.stdin.drain()
    process.stdin.close()


async def _start_of(stream: asyncio.StreamReader, limit: int) -> bytes:
    """The first ``limit`` bytes of a stream that is read to its end."""
    kept = bytearray()
    while chunk := await stream.read(1 << 16):
        kept += chunk[: limit - len(kept)]
    return bytes(kept)


def _image(answer: bytes, code: int | None, noise: bytes) -> Image:
    """The worker's answer, or the error that it stands for."""
    head, _, data = answer.partition(b"\n")
    if not head:
        _log.warning("image.worker.died", exit_code=code, stderr=noise.decode(errors="replace"))
        if code is not None and code < 0:  # a codec that crashed
            raise BadImage("The image cannot be read; save it anew and send that")
        raise MediaError("The image worker ended without an answer.", code="internal")
    reply = json.loads(head)
    if "refused" in reply:
        _log.info("image.refused", reason=reply["refused"], stderr=noise.decode(errors="replace"))
        raise BadImage(reply["refused"])
    if len(data) != reply["bytes"]:
        raise MediaError("The image worker's answer is not whole.", code="internal")
    return Image(data=data, media_type="image/jpeg", width=reply["width"], height=reply["height"])
