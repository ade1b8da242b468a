"""Upkeep: what has to be done now and then, for as long as the service runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

_log = structlog.get_logger(__name__)

#: pause between two rounds, in seconds
_ROUND = 3600.0


async def upkeep(chores: Mapping[str, Callable[[], Awaitable[object]]]) -> None:
    """Do all chores, one after the other, again and again; the first round is at once.

    A chore that fails is tried again in the next round: none of them is urgent.
    """
    while True:
        for name, chore in chores.items():
            try:
                await chore()
            except Exception:  # noqa: BLE001 - the border: one chore that breaks is no reason to leave the others
                _log.exception("upkeep.failed", chore=name)
        await asyncio.sleep(_ROUND)
