"""``Idempotency-Key``: pressing twice, retrying after a crash, and mixing keys up."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.contracts.idempotency import HEADER, REPLAYED
from tests.house import House, open_house, runware_layer, settings_for
from tests.wire.runware_server import RunwareServer, Script

KEY = {HEADER: "press-1"}
BRIEF = {"product": "Lamp"}
SCENES = {name: f"A calm {name} shot" for name in ("hook", "problem", "solution", "cta")}


async def test_the_same_key_and_body_replays_the_answer(local: House) -> None:
    first = await local.post("/api/session/create", BRIEF, headers=KEY)
    again = await local.post("/api/session/create", BRIEF, headers=KEY)
    assert (first.status, again.status) == (200, 200)
    assert again.body == first.body
    assert REPLAYED not in first.headers
    assert again.headers[REPLAYED] == "true"
    assert (await local.get("/api/sessions")).json["total"] == 1


async def test_the_same_json_written_differently_is_the_same_request(local: House) -> None:
    how = {"Content-Type": "application/json", **KEY}
    path = "/api/session/create"
    first = await local.ask("POST", path, data=b'{"product":"Lamp","tone":"dry"}', headers=how)
    again = await local.ask("POST", path, data=b'{ "tone": "dry", "product": "Lamp" }', headers=how)
    assert again.json == first.json


async def test_another_body_under_the_key_is_refused(local: House) -> None:
    await local.post("/api/session/create", BRIEF, headers=KEY)
    other = await local.post("/api/session/create", {"product": "Chair"}, headers=KEY)
    elsewhere = await local.post("/api/videos/generate-scenes", {"scene_descriptions": SCENES}, headers=KEY)
    for answer in (other, elsewhere):
        assert answer.status == 422
        assert answer.json["success"] is False
        assert answer.json["detail"]["code"] == "idempotency_key_reused"
    assert (await local.get("/api/sessions")).json["total"] == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "über", '"half', '""'])
async def test_a_key_that_is_none_is_refused(local: House, key: str) -> None:
    answer = await local.post("/api/session/create", BRIEF, headers={HEADER: key})
    assert answer.status == 400
    assert (await local.get("/api/sessions")).json["total"] == 0


async def test_a_refused_request_leaves_its_key_free(local: House) -> None:
    assert (await local.post("/api/session/create", {"produkt": "Lamp"}, headers=KEY)).status == 422
    assert (await local.post("/api/session/create", BRIEF, headers=KEY)).status == 200


async def test_many_presses_at_once_are_one(paid: House, wire: RunwareServer) -> None:
    session_id = await paid.session()
    body = {"session_id": session_id}
    answers = await asyncio.gather(
        *(paid.post("/api/videos/generate-scenes", body, headers=KEY) for _ in range(10))
    )
    assert {answer.body for answer in answers} == {answers[0].body}
    await paid.finished(answers[0].json["job_id"])
    late = await paid.post("/api/videos/generate-scenes", body, headers=KEY)
    assert late.body == answers[0].body, "also when the job is long over"
    assert len(wire.charges) == 4


async def test_without_a_key_a_finished_job_is_made_again(paid: House, wire: RunwareServer) -> None:
    session_id = await paid.session()
    for count in (4, 8):
        await paid.finished(await paid.generate(session_id))
        assert len(wire.charges) == count


async def test_a_waiting_regenerate_is_joined_and_replayed(paid: House, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    body = {"session_id": await paid.session(), "scenario": "hook"}
    presses = [
        asyncio.create_task(paid.post("/api/videos/regenerate-scene", body, headers=KEY)) for _ in range(3)
    ]
    await wire.wait_for_charges(1)
    wire.release()
    answers = await asyncio.gather(*presses)
    assert {(answer.status, answer.body) for answer in answers} == {(200, answers[0].body)}
    assert len(wire.charges) == 1


async def test_a_press_that_joined_another_one_says_so_again(paid: House, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    body = {"session_id": await paid.session()}
    first = await paid.post("/api/videos/generate-scenes", body)
    joining = await paid.post("/api/videos/generate-scenes", body, headers=KEY)
    wire.release()
    await paid.finished(first.json["job_id"])
    again = await paid.post("/api/videos/generate-scenes", body, headers=KEY)
    assert (joining.json["joined"], again.json["joined"]) == (True, True)
    assert again.json["job_id"] == first.json["job_id"]
    assert len(wire.charges) == 4


async def test_keys_survive_a_restart(tmp_path: Path, wire: RunwareServer) -> None:
    settings = settings_for(tmp_path, runware_layer(wire))
    async with open_house(settings) as house:
        body = {"session_id": await house.session()}
        first = await house.post("/api/videos/generate-scenes", body, headers=KEY)
        await house.finished(first.json["job_id"])
    async with open_house(settings) as house:
        again = await house.post("/api/videos/generate-scenes", body, headers=KEY)
        assert again.body == first.body
        other = await house.post("/api/videos/generate-scenes", {"session_id": "other"}, headers=KEY)
        assert other.status == 422
    assert len(wire.charges) == 4


async def test_a_job_whose_answer_was_never_made_is_answered_by_its_key(
    paid: House, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server died between the job on disk and the answer."""
    body = {"session_id": await paid.session()}

    def die(*_: Any, **__: Any) -> None:
        raise RuntimeError("between")

    with monkeypatch.context() as patch:
        patch.setattr("service.contracts.scenes.ScenesContract._started", die)
        assert (await paid.post("/api/videos/generate-scenes", body, headers=KEY)).status == 500
    job_id = (await paid.get(f"/api/session/{body['session_id']}")).json["jobs"][0]["job_id"]
    await paid.finished(job_id)
    again = await paid.post("/api/videos/generate-scenes", body, headers=KEY)
    assert (again.status, again.json["job_id"], again.json["joined"]) == (200, job_id, False)
    assert again.headers[REPLAYED] == "true"
    assert len(wire.charges) == 4


async def test_a_key_is_free_again_after_a_day(local: House, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await local.post("/api/session/create", BRIEF, headers=KEY)
    for place in ("service.contracts.idempotency.KEPT", "sessions.writes.KEPT"):
        monkeypatch.setattr(place, timedelta(0))
    again = await local.post("/api/session/create", {"product": "Chair"}, headers=KEY)
    assert again.status == 200
    assert again.json["session_id"] != first.json["session_id"]


async def test_keys_mean_nothing_to_requests_that_create_nothing(local: House) -> None:
    session_id = await local.session()
    for description in ("One", "Two"):
        answer = await local.put(
            f"/api/session/{session_id}/scenes/hook", {"description": description}, headers=KEY
        )
        assert answer.json["scene"]["description"] == description
