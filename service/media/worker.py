"""One piece of work in a process of its own: ``python -I -m service.media.worker``.

Standard input has one job as JSON: ``{"op", "parent", "nice", "memory", "job": {...}}``.
Standard output gets JSON lines: ``{"progress": 0..1}`` now and then, and last a reply, either
``{"result": ...}`` or ``{"error", "code", "retryable", "details"}``. Of several files to probe,
each before the last gets a line ``{"verdict": reply}``; what is no verdict on a file ends it all.

libav, numpy and Pillow are loaded here and nowhere else.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from service.media.harden import die_with, limit
from service.media.probe import demux
from service.media.spec import SceneSpec
from sessions.errors import MediaError

Record = Mapping[str, Any]
Say = Callable[[Record], None]
Progress = Callable[[float], None]

#: seconds between two reports of progress
_REPORT_EVERY = 0.2
_OUT_OF_MEMORY = {"error": "There was not enough memory for this.", "code": "memory", "retryable": True}
_NO_FILE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


def main() -> None:
    """Do the one job."""
    say = _protocol()
    order = json.load(sys.stdin.buffer)
    die_with(order["parent"])
    limit(nice=order["nice"], memory=order["memory"])
    try:
        say({"result": _OPS[order["op"]](order["job"], say)})
    except MemoryError:
        say(_OUT_OF_MEMORY)
        os._exit(1)  # a full heap is no place to tidy up in
    except Exception as exc:  # noqa: BLE001 - the border of the process: everything becomes a sentence
        traceback.print_exc()
        say(_reply(exc))
        sys.exit(1)


def _scene(job: Record, say: Say) -> Record:
    from service.media.scene import render_scene  # noqa: PLC0415 - half of the start-up time

    path = Path(job["out"])
    render_scene(SceneSpec(**job["spec"]), path, _throttled(say))
    return asdict(demux(path))


def _probe(job: Record, say: Say) -> Record:
    *others, last = map(Path, job["paths"])
    for path in others:
        try:
            verdict: Record = {"result": asdict(demux(path))}
        except (MediaError, *_NO_FILE) as exc:
            verdict = _reply(exc)
        say({"verdict": verdict})
    return asdict(demux(last))


_OPS: Mapping[str, Callable[[Record, Say], Record]] = {"scene": _scene, "probe": _probe}


def _protocol() -> Say:
    """A writer of lines to what was standard output; later prints, also libav's, go to standard error."""
    channel = os.dup(1)
    os.dup2(2, 1)

    def say(record: Record) -> None:
        os.write(channel, (json.dumps(record) + "\n").encode())

    return say


def _throttled(say: Say) -> Progress:
    last = 0.0

    def progress(part: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _REPORT_EVERY:
            last = now
            say({"progress": round(part, 3)})

    return progress


def _reply(exc: Exception) -> Record:
    """The error as the parent raises it again."""
    if isinstance(exc, MediaError):
        return {"error": exc.message, "code": exc.code, "retryable": exc.retryable, "details": exc.details}
    if isinstance(exc, _NO_FILE):
        return {"error": "There is no such file or folder.", "code": "input", "retryable": False}
    if isinstance(exc, OSError) and exc.errno == errno.ENOSPC:
        return {"error": "There is no space left on the disk.", "code": "internal", "retryable": True}
    if _starved(exc):
        return _OUT_OF_MEMORY
    return {"error": "The media worker failed unexpectedly.", "code": "internal", "retryable": True}


def _starved(exc: Exception) -> bool:
    """Whether the memory limit is behind it.

    The codecs say no more than "error in an external library", and a library that
    cannot be mapped is an ImportError.
    """
    no_room = isinstance(exc, OSError) and exc.errno == errno.ENOMEM
    codec = type(exc).__name__ == "ExternalError"
    mapping = isinstance(exc, ImportError) and ("memory" in str(exc) or "segment" in str(exc))
    return no_room or codec or mapping


if __name__ == "__main__":
    main()
