"""DUST: held with the job, taken at its start, given back without a video; each once, whatever happens."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from service.contracts import credits_replies as replies
from sessions.ledger import Currency
from sessions.model import SceneState, Stage
from tests.house import House, open_house, runware_layer, settings_for
from tests.service.contracts.credits_kit import (
    IMAGE,
    PLENTY,
    PROMPT,
    charged,
    dust,
    fits,
    jobs_on_record,
    made,
    ordered,
    over,
    refused,
    store,
)
from tests.service.contracts.kit import reached
from tests.wire.runware_server import FileReply, RunwareServer, Script

OPENING = 25
FEW = {"credits": {"opening_dust": OPENING}}


async def test_a_video_is_paid_for_once(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    layers = runware_layer(wire), FEW, {"limits": {"slots": 1}}
    async with open_house(settings_for(tmp_path, *layers)) as house:
        assert await dust(house, opening=OPENING) == (25, 0)
        first = await ordered(house)
        await reached(house, first, lambda it: it.scenes[0].stage is Stage.SENT)
        assert await dust(house) == (15, 0), "taken with its start"
        second = await ordered(house)
        assert await dust(house) == (5, 10), "held while it waits"
        poor = await house.post("/videos/generate", {"prompt": PROMPT})
        assert refused(poor, 402) == {
            "success": False,
            "error": "Insufficient DUST. This video costs 10 DUST but you have 5.",
            "code": "insufficient_credit",
            "currency": "dust",
            "required": 10,
            "available": 5,
        }
        refused(await house.post("/videos/animate", {"image_url": "https://127.0.0.1/x"}), 422)
        assert jobs_on_record(house) == 2
        assert await dust(house) == (5, 10)
        wire.release()
        await over(house, first)
        await reached(house, second, lambda it: it.scenes[0].stage is Stage.SENT)
        wire.release()
        await over(house, second)
        assert charged(house, first) == charged(house, second) == ["hold", "capture"]
        assert await dust(house) == (5, 0)
        balances = fits(await house.get("/videos/credits"), replies.CreditsBalances)["balances"]
        assert balances["dust"] == {"available": 5, "held": 0}


async def test_what_everybody_opens_with_is_shown_before_the_first_video(tmp_path: Path) -> None:
    async with open_house(settings_for(tmp_path, FEW)) as house:
        for who in ("", "?user_id=ann"):
            body = fits(await house.get(f"/videos/credits{who}"), replies.CreditsBalances)
            assert body["balances"] == {
                "tokens": {"available": PLENTY, "held": 0},
                "dust": {"available": OPENING, "held": 0},
            }


@pytest.mark.parametrize(
    "switch", ["[[fail@10]]", "[[fail]]", "[[fail@50]]", "[[fail@80]]", "[[nsfw]]", "[[corrupt]]"]
)
async def test_what_fails_at_whatever_stage_is_refunded(local: House, switch: str) -> None:
    job_id = await made(local, f"{switch} A lamp", user_id="ann")
    assert (await local.get(f"/videos/jobs/{job_id}/status")).json["status"] == "failed"
    assert charged(local, job_id) == ["hold", "capture", "refund"]
    assert await dust(local, "ann") == (PLENTY, 0)


async def test_a_paid_failure_is_refunded_too(paid: House, wire: RunwareServer) -> None:
    wire.script("Refused", Script(refuse_code="invalidParameter"))
    wire.script("Fails", Script(fail_code="invalidProviderContent"))
    wire.script("Lost", Script(files=(FileReply(status=404),)))
    for prompt in ("Refused", "Fails", "Lost"):
        job_id = await made(paid, prompt)
        assert charged(paid, job_id) == ["hold", "capture", "refund"], prompt
        assert await dust(paid) == (PLENTY, 0), prompt


async def test_a_second_try_of_ours_is_not_charged_again(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script(PROMPT, Script(fail_code="internalServerError"), Script())
    layers = runware_layer(wire), {"retries": {"pause_seconds": 0.01}}
    async with open_house(settings_for(tmp_path, *layers)) as house:
        job_id = await made(house)
        assert (await house.get(f"/videos/jobs/{job_id}/status")).json["status"] == "completed"
        assert charged(house, job_id) == ["hold", "capture"]
        assert await dust(house) == (PLENTY - 10, 0)
    assert len(wire.charges) == 2


_NOT_VALID: list[tuple[str, Any]] = [
    ("generate", {}),
    ("generate", {"prompt": PROMPT, "duration": "epic"}),
    ("generate", {"prompt": PROMPT, "resolution": "4k_2160p"}),
    ("generate", {"prompt": PROMPT, "aspect_ratio": "4:3"}),
    ("generate", {"prompt": "x" * 9000}),
    ("animate", {"prompt": PROMPT}),
    ("animate", {"image_url": "http://10.0.0.1/x.png"}),
    ("animate", {"image_url": IMAGE, "resolution": "hd_1080p"}),
]


async def test_what_is_refused_costs_nothing(
    paid: House, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fetch(_self: object, url: str) -> bytes:
        raise AssertionError(f"nothing is fetched for an order that cannot be made: {url}")

    monkeypatch.setattr("service.fetching.ImageFetcher.fetch", fetch)
    for path, body in _NOT_VALID:
        refused(await paid.post(f"/videos/{path}", body), 422)
    assert jobs_on_record(paid) == 0
    assert await dust(paid) == (PLENTY, 0)
    assert await store(paid).charges_of("anonymous", Currency.DUST, 10) == []
    assert wire.submits == []


async def test_many_at_once_spend_no_more_than_there_is(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    async with open_house(settings_for(tmp_path, runware_layer(wire), FEW)) as house:
        answers = await asyncio.gather(
            *(house.post("/videos/generate", {"prompt": f"Number {it}"}) for it in range(8))
        )
        assert Counter(answer.status for answer in answers) == {202: 2, 402: 6}
        assert jobs_on_record(house) == 2
        await wire.wait_for_charges(2)
        wire.release()
        for answer in answers:
            if answer.status == 202:
                await over(house, answer.json["job_id"])
        assert await dust(house) == (5, 0)
    assert len(wire.charges) == 2


# ---------------------------------------------------------------------- cancels and restarts


async def test_a_local_render_that_is_cancelled_is_kept_and_paid_for(local: House) -> None:
    job_id = await ordered(local, "[[slow 0.5s]] A lamp")
    await reached(local, job_id, lambda it: it.scenes[0].stage is Stage.SENT)
    answer = fits(await local.ask("DELETE", f"/videos/jobs/{job_id}"), replies.CreditsCancelled)
    assert "a video that comes is billed, and kept" in answer["message"]
    assert await dust(local) == (PLENTY - 10, 0)
    await over(local, job_id)
    assert charged(local, job_id) == ["hold", "capture"]
    assert (await local.get("/videos")).json["pagination"]["total"] == 1
    assert await dust(local) == (PLENTY - 10, 0)


async def test_a_cancelled_job_of_which_no_video_comes_is_refunded(paid: House, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True, fail_code="invalidProviderContent"))
    job_id = await ordered(paid)
    await reached(paid, job_id, lambda it: it.scenes[0].stage is Stage.SENT)
    await paid.ask("DELETE", f"/videos/jobs/{job_id}")
    assert await dust(paid) == (PLENTY - 10, 0)
    wire.release()
    await over(paid, job_id)
    assert charged(paid, job_id) == ["hold", "capture", "refund"]
    assert await dust(paid) == (PLENTY, 0)


async def test_two_cancels_at_once_give_back_once(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    layers = runware_layer(wire), {"limits": {"slots": 1}}
    async with open_house(settings_for(tmp_path, *layers)) as house:
        await ordered(house, "First")
        await wire.wait_for_charges(1)
        job_id = await ordered(house, "Second")
        answers = await asyncio.gather(*(house.ask("DELETE", f"/videos/jobs/{job_id}") for _ in range(5)))
        assert {answer.status for answer in answers} <= {200, 409}
        assert 200 in {answer.status for answer in answers}
        assert charged(house, job_id) == ["hold", "release"]
        assert await dust(house) == (PLENTY - 10, 0)
        wire.release()


async def test_a_restart_charges_nothing_again(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    settings = settings_for(tmp_path, runware_layer(wire), {"limits": {"slots": 1}})
    async with open_house(settings) as house:
        running = await ordered(house, "Running")
        await reached(house, running, lambda it: it.scenes[0].stage is Stage.SENT)
        waiting = await ordered(house, "Waiting")
        assert await dust(house) == (PLENTY - 20, 10)
    async with open_house(settings) as house:
        assert await dust(house) == (PLENTY - 20, 10)
        for job_id in (running, waiting):
            assert (await house.get(f"/videos/jobs/{job_id}/status")).status == 200
        wire.release()
        await over(house, running)
        await reached(house, waiting, lambda it: it.scenes[0].stage is Stage.SENT)
        wire.release()
        await over(house, waiting)
        for job_id in (running, waiting):
            assert charged(house, job_id) == ["hold", "capture"]
        assert await dust(house) == (PLENTY - 20, 0)
    assert len(wire.charges) == 2


async def test_a_cancel_is_kept_over_a_restart(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    settings = settings_for(tmp_path, runware_layer(wire))
    async with open_house(settings) as house:
        job_id = await ordered(house)
        await reached(house, job_id, lambda it: it.scenes[0].stage is Stage.SENT)
        await house.ask("DELETE", f"/videos/jobs/{job_id}")
    wire.release()
    async with open_house(settings) as house:
        await over(house, job_id)
        snapshot = await store(house).job(job_id)
        assert snapshot is not None
        assert snapshot.scenes[0].state is SceneState.CANCELLED
        assert charged(house, job_id) == ["hold", "capture"]
        assert (await house.get(f"/videos/{job_id}")).status == 200
        assert await dust(house) == (PLENTY - 10, 0)


async def test_a_local_render_that_a_restart_has_lost_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.recipes.respondent._LONGEST_PAUSE", 0.02)
    settings = settings_for(tmp_path)
    async with open_house(settings) as house:
        job_id = await ordered(house, "[[slow 60s]] A lamp")
        await reached(house, job_id, lambda it: it.scenes[0].stage is Stage.SENT)
        await house.ask("DELETE", f"/videos/jobs/{job_id}")
        assert await dust(house) == (PLENTY - 10, 0)
    async with open_house(settings) as house:
        await over(house, job_id)
        assert charged(house, job_id) == ["hold", "capture", "refund"]
        assert await dust(house) == (PLENTY, 0)


async def test_a_terms_without_currency_charges_nothing(tmp_path: Path, wire: RunwareServer) -> None:
    free = {
        "terms": {"credits": {"result_hours": 24, "currency": None, "price": 0, "price_with_image": None}}
    }
    async with open_house(settings_for(tmp_path, runware_layer(wire), free)) as house:
        job_id = await made(house)
        assert charged(house, job_id) == []
        assert await dust(house) == (PLENTY, 0)
