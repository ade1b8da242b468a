"""What the tests of the credit-jobs contract share: orders, answers that fit their models, balances."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from typing import Any, TypeVar

from pydantic import BaseModel

from service.contracts.credits import CreditsContract
from service.contracts.credits_replies import CreditsProblem, CreditsStarted
from sessions.database import Database
from sessions.ledger import Currency
from tests.house import Answer, House
from tests.service.contracts.kit import tells_nothing

Model = TypeVar("Model", bound=BaseModel)

PROMPT = "A lighthouse in a storm"
IMAGE = "https://images.example.com/lighthouse.jpg"

#: what an account opens with where identity is off
PLENTY = 10_000


def fits(answer: Answer, model: type[Model], status: int = 200) -> Any:
    """The body, which is as the documentation has it."""
    assert answer.status == status, (answer.status, answer.body)
    model.model_validate_json(answer.body, strict=True)
    return answer.json


def refused(answer: Answer, status: int) -> Mapping[str, Any]:
    """The error, which has the contract's shape and tells nothing of the inside."""
    body: dict[str, Any] = fits(answer, CreditsProblem, status)
    assert list(body)[:2] == ["success", "error"]
    assert len(body["error"].split()) >= 3, body
    tells_nothing(answer)
    return body


async def ordered(
    house: House, prompt: str = PROMPT, who: Mapping[str, str] | None = None, **more: Any
) -> str:
    """A new job from words."""
    answer = await house.post("/videos/generate", {"prompt": prompt, **more}, headers=who)
    return str(fits(answer, CreditsStarted, 202)["job_id"])


async def over(house: House, job_id: str) -> None:
    """Wait for the end of the job and of all that can come of it."""
    async with asyncio.timeout(30):
        await house.service.live.until(job_id, lambda it: it.job.closed and all(s.settled for s in it.scenes))


async def made(house: House, prompt: str = PROMPT, who: Mapping[str, str] | None = None, **more: Any) -> str:
    """A job from words that is over."""
    job_id = await ordered(house, prompt, who, **more)
    await over(house, job_id)
    return job_id


def contract(house: House) -> CreditsContract:
    for route in house.service.app.router.routes():
        found = getattr(route.handler, "__self__", None)
        if isinstance(found, CreditsContract):
            return found
    raise AssertionError("the contract has routes")


def store(house: House) -> Database:
    found = house.service.studio._store
    assert isinstance(found, Database)
    return found


async def dust(house: House, user: str = "anonymous", opening: int = PLENTY) -> tuple[int, int]:
    """What the user can spend, and what is held, in a ledger that is true."""
    assert await store(house).discrepancies() == []
    found = await store(house).balance(user, Currency.DUST, opening=opening)
    return found.available, found.held


def charged(house: House, job_id: str) -> list[str]:
    """The kinds of the job's charges, in their order."""
    with closing(sqlite3.connect(store(house).path)) as connection:
        found = connection.execute("SELECT kind FROM charges WHERE scene_id = ? ORDER BY seq", (job_id,))
        return [kind for (kind,) in found]


def jobs_on_record(house: House) -> int:
    with closing(sqlite3.connect(store(house).path)) as connection:
        count: int = connection.execute("SELECT count(*) FROM jobs").fetchone()[0]
        return count
