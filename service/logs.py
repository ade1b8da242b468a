"""Logging: event names with ids as fields; readable on a terminal, JSON lines otherwise."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from contextvars import ContextVar
from typing import TextIO, cast

import structlog
from structlog.tracebacks import ExceptionDictTransformer

from service.sections import LogSettings

#: the request that is being answered, or that started the work at hand; set by the HTTP guard.
#: A variable of its own, because structlog's costs a tenth of a status poll.
request_id: ContextVar[str] = ContextVar("request_id")


def configure_logging(settings: LogSettings) -> None:
    """Route structlog and the standard library's loggers to stderr, in one format.

    Tracebacks are shown without local variables: they may hold secrets.
    """
    console = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_request,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[structlog.typing.Processor] = (
        [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
        if console
        else [
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ]
    )
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # Past the standard library: its records and formatters cost more than the rest of a line.
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _StandardError())),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("aiohttp.access", "alembic", "websockets", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class _StandardError(io.TextIOBase):
    """``sys.stderr``, whatever it is at the moment. A log that cannot be written stops no work."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


def _add_request(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    if (request := request_id.get(None)) is not None:
        event.setdefault("request", request)
    return event
