"""Upkeep: what has to be done now and then, for as long as the service runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

_log = structlog.get_logger(__name__)

#: pause before the first round and between two, in seconds
_FIRST, _ROUND = 60.0, 3600.0


async def upkeep(chores: Mapping[str, Callable[[], Awaitable[object]]]) -> None:
    """Do all chores, one after the other, again and again.

    A chore that fails is tried again in the next round: none of them is urgent.
    """
    await asyncio.sleep(_FIRST)
    while True:
        for name, chore in chores.items():
            try:
                await chore()
            except Exception:  # noqa: BLE001 - the border: one chore that breaks is no reason to leave the others
                _log.exception("upkeep.failed", chore=name)
        await asyncio.sleep(_ROUND)
