"""The counted things: what was charged, and a bell for tests that wait for it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Charge:
    """Money for one accepted task."""

    task_uuid: str
    prompt: str
    model: str
    #: when the task was accepted, aware UTC
    at: datetime
    #: the task as it was submitted
    params: dict[str, Any]

    def to_line(self) -> str:
        return json.dumps({**asdict(self), "at": self.at.isoformat()}) + "\n"

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Charge:
        return cls(**{**fields, "at": datetime.fromisoformat(fields["at"])})


def paid_twice(charges: Sequence[Charge]) -> list[str]:
    """Prompts that were charged more than once, in the order of their first charge."""
    return [prompt for prompt, times in Counter(charge.prompt for charge in charges).items() if times > 1]


class Ledger:
    """Keeps the charges, in a file too when it is given one."""

    def __init__(self, journal: Path | None = None) -> None:
        self.charges: list[Charge] = []
        self._journal = journal

    def charge(self, params: dict[str, Any]) -> None:
        entry = Charge(
            task_uuid=params["taskUUID"],
            prompt=params["positivePrompt"],
            model=params["model"],
            at=datetime.now(UTC),
            params=params,
        )
        self.charges.append(entry)
        if self._journal is not None:
            with self._journal.open("a", encoding="utf-8") as journal:
                journal.write(entry.to_line())


def read_journal(path: Path) -> list[Charge]:
    """The charges of a server that runs, or ran, in another process."""
    if not path.exists():
        return []
    return [Charge.from_json(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


class Bell:
    """Rings when something was counted, so that a test waits without sleeping."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()
        self._rung = asyncio.Event()

    async def wait_until(self, happened: Callable[[], bool], *, what: str, timeout: float) -> None:  # noqa: ASYNC109 - a test says how patient it is
        try:
            async with asyncio.timeout(timeout):
                while not happened():
                    await self._rung.wait()
        except TimeoutError:
            raise TimeoutError(f"no {what} within {timeout} s") from None
