"""How many video jobs run (X3), and what they cost (X4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sessions.database import Database
from sessions.ledger import Balance, Currency
from tests.house import House, runware_layer
from tests.service.contracts.kit import reached
from tests.service.contracts.test_identity import ANN, BEN, ON
from tests.service.contracts.video_jobs_kit import (
    PATH,
    ended,
    form,
    listed,
    looked,
    order,
    ordered,
    picture,
    problem,
    small_house,
    state,
    told,
)
from tests.wire.runware_server import RunwareServer, Script

SLOW = "A sunset [[slow 20s]]"
POOR = "Insufficient tokens. Operation 'video_generation' costs 50 tokens but you have 20."
FULL = "Maximum 3 concurrent video jobs allowed. Please wait for existing jobs to complete."


def terms(**changes: Any) -> dict[str, Any]:
    values = {"currency": "tokens", "price": 50, "running": 3, "waiting": 20, **changes}
    return {"terms": {"video_jobs": values}}


def purse(tokens: int) -> dict[str, Any]:
    return {"credits": {"opening_tokens": tokens}}


async def balance(house: House, owner: str = "anonymous", opening: int = 0) -> Balance:
    store = house.service.studio._store
    assert isinstance(store, Database)
    assert await store.discrepancies() == []
    return await store.balance(owner, Currency.TOKENS, opening=opening)


async def cancelled(house: House, *jobs: str) -> None:
    for job_id in jobs:
        await house.post(f"{PATH}/{job_id}/cancel", None)


# ---------------------------------------------------------------------- how many (X3)


async def test_three_run_and_the_next_ones_wait_in_order(tmp_path: Path) -> None:
    async with small_house(tmp_path) as house:
        jobs = [(await ordered(house, prompt=SLOW))["id"] for _ in range(5)]
        for job_id in jobs[:3]:
            await state(house, job_id, "running")
        fourth = await told(house, jobs[3], lambda it: it.get("queuePosition") == 1)
        fifth = await told(house, jobs[4], lambda it: it.get("queuePosition") == 2)
        for body in (fourth, fifth):
            assert body["status"] == "PENDING"
            assert "3 jobs" in body["note"]
        assert [it["id"] for it in (await listed(house, "?status_filter=PENDING"))["jobs"]] == jobs[:2:-1]
        await cancelled(house, jobs[1])
        await state(house, jobs[3], "running")
        await told(house, jobs[4], lambda it: it.get("queuePosition") == 1)
        assert "queuePosition" not in await looked(house, jobs[3])
        await cancelled(house, jobs[0])
        await state(house, jobs[4], "running")
        assert (await listed(house, "?status_filter=RUNNING"))["total"] == 3
        await cancelled(house, *jobs)


async def test_one_that_waits_can_be_cancelled_and_costs_nothing(tmp_path: Path) -> None:
    async with small_house(tmp_path, terms(running=1)) as house:
        first, second, third = [(await ordered(house, prompt=SLOW))["id"] for _ in range(3)]
        await state(house, first, "running")
        answer = await house.post(f"{PATH}/{second}/cancel", None)
        assert (answer.json["status"], answer.json["tokensConsumed"]) == ("CANCELLED", 0)
        await told(house, third, lambda it: it.get("queuePosition") == 1)
        assert await balance(house) == Balance(available=10_000 - 100, held=50)
        await cancelled(house, third, first)


async def test_a_full_queue_says_so_to_the_letter(tmp_path: Path) -> None:
    async with small_house(tmp_path, terms(waiting=1), purse(1000)) as house:
        jobs = [(await ordered(house, prompt=SLOW))["id"] for _ in range(4)]
        answer = await house.post(PATH, order())
        assert (answer.status, answer.json) == (429, {"detail": FULL})
        assert int(answer.headers["Retry-After"]) > 0
        found = await balance(house)
        assert found.available == 1000 - 200
        await cancelled(house, jobs[3])
        jobs.append((await ordered(house))["id"])
        await cancelled(house, *jobs)


async def test_without_a_queue_the_fourth_is_refused(tmp_path: Path) -> None:
    async with small_house(tmp_path, terms(waiting=0)) as house:
        jobs = [(await ordered(house, prompt=SLOW))["id"] for _ in range(3)]
        assert problem(await house.post(PATH, order()), 429) == FULL
        await cancelled(house, *jobs)


async def test_limits_are_each_users_own(tmp_path: Path) -> None:
    async with small_house(tmp_path, ON, purse(1000), terms(running=1, waiting=0)) as house:
        hers = (await ordered(house, ANN, prompt=SLOW))["id"]
        assert (await house.post(PATH, order(), headers=ANN)).status == 429
        his = (await ordered(house, BEN))["id"]
        await ended(house, his)
        await house.post(f"{PATH}/{hers}/cancel", None, headers=ANN)


# ---------------------------------------------------------------------- what they cost (X4)


async def test_missing_tokens_are_told_to_the_letter(tmp_path: Path) -> None:
    async with small_house(tmp_path, purse(70)) as house:
        await ended(house, (await ordered(house))["id"])
        body = form(order(), ("initialImage", picture()))
        answer = await house.ask("POST", PATH, data=body)
        assert answer.status == 402
        assert answer.json == {"detail": {"message": POOR, "cost": 50, "availableTokens": 20}}
        assert (await listed(house))["total"] == 1
        assert await balance(house) == Balance(available=20, held=0)


async def test_what_is_refused_costs_nothing(tmp_path: Path) -> None:
    async with small_house(tmp_path, purse(1000)) as house:
        for changes in ({"resolution": "4k"}, {"model": "veo-9"}, {"prompt": None}):
            assert (await house.post(PATH, order(**changes))).status == 400
        assert await balance(house, opening=1000) == Balance(available=1000, held=0)


async def test_tokens_are_held_taken_and_given_back(tmp_path: Path) -> None:
    async with small_house(tmp_path, purse(1000), terms(running=1)) as house:
        running = (await ordered(house, prompt=SLOW))["id"]
        await state(house, running, "running")
        waiting = (await ordered(house))["id"]
        assert await balance(house) == Balance(available=900, held=50)
        assert (await looked(house, waiting))["tokensConsumed"] == 50
        await house.ask("DELETE", f"{PATH}/{waiting}")
        assert await balance(house) == Balance(available=950, held=0)
        await cancelled(house, running)
        failed = (await ordered(house, prompt="This will fail [[fail]]"))["id"]
        assert (await looked(house, failed))["tokensConsumed"] == 50
        await ended(house, failed)
        assert (await looked(house, failed))["tokensConsumed"] == 0
        assert (await balance(house)).available == 950


async def test_a_repeated_order_is_charged_once(tmp_path: Path) -> None:
    async with small_house(tmp_path, purse(1000)) as house:
        for _ in range(3):
            answer = await house.post(PATH, order(), headers={"Idempotency-Key": "press-1"})
            assert answer.status == 202
        await ended(house, answer.json["id"])
        assert (await balance(house)).available == 950


async def test_free_terms_cost_nothing(tmp_path: Path) -> None:
    async with small_house(tmp_path, terms(currency=None, price=0)) as house:
        job = await ordered(house)
        assert job["tokensConsumed"] == 0
        await ended(house, job["id"])
        assert (await looked(house, job["id"]))["tokensConsumed"] == 0


@pytest.mark.parametrize("comes", [True, False])
async def test_a_cancel_that_comes_too_late_is_paid_for_if_a_video_comes(
    tmp_path: Path, wire: RunwareServer, comes: bool
) -> None:
    wire.script_default(Script(hold=True, fail_code=None if comes else "contentModerated"))
    async with small_house(tmp_path, runware_layer(wire), purse(1000)) as house:
        job_id = (await ordered(house, mockMode="false"))["id"]
        await reached(house, job_id, lambda it: it.scenes[0].stage.value == "sent")
        answer = await house.post(f"{PATH}/{job_id}/cancel", None)
        assert (answer.json["status"], answer.json["tokensConsumed"]) == ("CANCELLED", 50)
        wire.release()
        await reached(house, job_id, lambda it: it.scenes[0].settled)
        body = await looked(house, job_id)
        assert (body["status"], body["tokensConsumed"]) == ("CANCELLED", 50 if comes else 0)
        assert ("cloudinaryUrl" in body) is comes
        assert (await balance(house)).available == (950 if comes else 1000)
        download = await house.get(f"{PATH}/{job_id}/download", allow_redirects=False)
        assert download.status == (302 if comes else 400)
