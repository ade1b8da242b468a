"""Sessions and their descriptions: created, edited, approved, listed; refused before anything is charged."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest

from tests.house import SCENARIOS, House
from tests.service.contracts.kit import detail, fields, pressed, problem
from tests.wire.runware_server import RunwareServer, Script

CREATE = "/api/session/create"
GENERATE = "/api/videos/generate-scenes"
REGENERATE = "/api/videos/regenerate-scene"
#: fields that the original frontend sends along
DETAILS = {
    "visual_description": "A lamp on a desk",
    "camera_work": "Slow push in",
    "lighting": "Warm",
    "audio_design": "Quiet room",
    "background_music": "Piano",
    "sound_effects": "Click",
    "dialog_narration": "Light, at last.",
}


def texts(answer: Any) -> dict[str, str]:
    return {scene["scenario"]: scene["description"] for scene in answer.json["scene_descriptions"]}


# ---------------------------------------------------------------------- creating


async def test_a_brief_alone(local: House) -> None:
    answer = await local.post(CREATE, {"product": "  Lamp  "})
    assert answer.status == 200
    assert answer.json["success"] is True
    assert str(uuid.UUID(answer.json["session_id"])) == answer.json["session_id"]
    assert answer.json["brief"]["product"] == "Lamp"
    assert answer.json["scene_descriptions"] == answer.json["scene_videos"] == answer.json["jobs"] == []
    read = (await local.get(f"/api/session/{answer.json['session_id']}")).json
    assert read["brief"] == answer.json["brief"]


async def test_a_whole_brief(local: House) -> None:
    brief = {
        "product": "Lampe \u201eLuz\u201c \U0001f4a1",
        "audience": "readers",
        "tone": "calm",
        "offer": "30 nights free",
        "language": "de-AT",
        "aspect_ratio": "9:16",
        "seconds_per_scene": 2,
        "model": "local:preview@1",
        "product_image_url": "https://example.com/lamp.png",
        "logo_url": "https://example.com/logo.png",
    }
    answer = await local.post(CREATE, brief)
    assert answer.status == 200
    assert answer.json["brief"] == brief


SHAPES: dict[str, Any] = {
    "list": [{"scenario": name, "description": f"A {name} lamp", "approved": True} for name in SCENARIOS],
    "list in any order": [
        {"scenario": name, "description": f"A {name} lamp", "approved": True} for name in reversed(SCENARIOS)
    ],
    "object": {name: {"description": f"A {name} lamp", "approved": True} for name in SCENARIOS},
    "object that repeats its keys": {
        name: {"scenario": name, "description": f"A {name} lamp", "approved": True} for name in SCENARIOS
    },
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["scene_descriptions", "scenes", "descriptions"])
async def test_two_requests_to_generation(paid: House, wire: RunwareServer, shape: str, name: str) -> None:
    wire.script_default(Script(hold=True))
    created = await paid.post(CREATE, {"product": "Lamp", name: SHAPES[shape]})
    assert texts(created) == {scenario: f"A {scenario} lamp" for scenario in SCENARIOS}
    started = await paid.post(GENERATE, {"session_id": created.json["session_id"]})
    assert started.status == 200
    charges = await wire.wait_for_charges(4)
    assert {charge.prompt for charge in charges} == {f"A {scenario} lamp" for scenario in SCENARIOS}


async def test_texts_are_descriptions_that_await_approval(paid: House, wire: RunwareServer) -> None:
    created = await paid.post(CREATE, {"scenes": {name: f"A {name} lamp" for name in SCENARIOS}})
    assert [scene["approved"] for scene in created.json["scene_descriptions"]] == [False] * 4
    error = problem(await paid.post(GENERATE, {"session_id": created.json["session_id"]}), 400)
    assert detail(error)["unapproved"] == list(SCENARIOS)
    assert wire.submits == []


async def test_details_reach_the_prompt(paid: House, wire: RunwareServer) -> None:
    scenes = {name: {"description": f"A {name} lamp", "approved": True, **DETAILS} for name in SCENARIOS}
    created = await paid.post(CREATE, {"scenes": {**scenes, "cta": {**scenes["cta"], "duration": 7}}})
    await paid.finished(await paid.generate(created.json["session_id"]))
    prompts = {charge.prompt: charge.params for charge in wire.charges}
    for value in DETAILS.values():
        assert all(value in prompt for prompt in prompts)
    assert {params["duration"] for prompt, params in prompts.items() if "A cta" in prompt} == {7}


# ---------------------------------------------------------------------- descriptions


async def test_write_edit_approve_rewrite(local: House) -> None:
    session = (await local.post(CREATE, {"product": "Lamp", "offer": "Free"})).json["session_id"]
    written = await local.post("/api/scenes/generate-descriptions", {"session_id": session})
    assert written.status == 200
    assert list(texts(written)) == list(SCENARIOS)
    edited = await local.put(f"/api/session/{session}/scenes/hook", {"lighting": "Dim"})
    assert edited.json["scene"]["lighting"] == "Dim"
    assert edited.json["scene"]["description"] == texts(written)["hook"], "the rest stays"
    one = await local.post(f"/api/session/{session}/scenes/hook/approve", {})
    assert one.json["scene"]["approved"] is True
    read = (await local.get(f"/api/session/{session}")).json
    assert [scene["approved"] for scene in read["scene_descriptions"]].count(True) == 1
    everything = await local.ask("POST", f"/api/session/{session}/approve")
    assert [scene["approved"] for scene in everything.json["scene_descriptions"]] == [True] * 4
    again = await local.post(
        "/api/scenes/regenerate-description",
        {"session_id": session, "scenario": "hook", "instructions": "Add rain"},
    )
    assert "Add rain" in again.json["scene"]["description"]
    assert again.json["scene"]["approved"] is False, "new content needs a new approval"


async def test_an_edit_takes_the_approval_back(local: House) -> None:
    session = await local.session()
    path = f"/api/session/{session}/scenes/cta"
    same = await local.put(path, {"description": "A calm cta shot of the lamp"})
    assert same.json["scene"]["approved"] is True, "nothing has changed"
    assert (await local.put(path, {"description": "New"})).json["scene"]["approved"] is False
    both = await local.put(path, {"description": "Newer", "approved": True})
    assert both.json["scene"]["approved"] is True


async def test_what_is_empty_cannot_be_approved(local: House) -> None:
    session = (await local.post(CREATE, {"product": "Lamp"})).json["session_id"]
    error = problem(await local.ask("POST", f"/api/session/{session}/approve"), 400)
    assert detail(error)["missing"] == list(SCENARIOS)
    error = problem(await local.ask("POST", f"/api/session/{session}/scenes/cta/approve"), 400)
    assert detail(error)["missing"] == ["cta"]
    error = problem(await local.put(f"/api/session/{session}/scenes/cta", {"approved": True}), 400)
    assert detail(error)["field"] == "description"
    problem(await local.put(f"/api/session/{session}/scenes/cta", {}), 422)


async def test_edits_of_different_fields_at_once_are_all_kept(local: House) -> None:
    """Each says what changes; none takes another's change back."""
    session = await local.session()
    path = f"/api/session/{session}/scenes/hook"
    answers = await asyncio.gather(*(local.put(path, {name: value}) for name, value in DETAILS.items()))
    assert {answer.status for answer in answers} == {200}
    scene = (await local.get(f"/api/session/{session}")).json["scene_descriptions"][0]
    assert {name: scene[name] for name in DETAILS} == DETAILS


async def test_two_different_wishes_at_once(paid: House, wire: RunwareServer) -> None:
    """The second is carried out too, or refused: never answered with the first one's text."""

    def write(messages: list[dict[str, Any]]) -> str:
        wish = "rain" if "rain" in str(messages) else "snow" if "snow" in str(messages) else "nothing"
        return json.dumps({"hook": f"A lamp in {wish}"})

    wire.script_text(write, seconds=0.2)
    body = {"session_id": await paid.session(), "scenario": "hook"}
    path = "/api/scenes/regenerate-description"
    async with pressed(paid.post(path, {**body, "instructions": "Add rain"})) as rain:
        while not wire.texts:
            await asyncio.sleep(0.01)
        snow = await paid.post(path, {**body, "instructions": "Add snow"})
        assert (await rain).json["scene"]["description"] == "A lamp in rain"
    assert snow.status == 409 or snow.json["scene"]["description"] == "A lamp in snow"


async def test_writing_twice_at_once_asks_the_model_once(paid: House, wire: RunwareServer) -> None:
    wire.script_text([json.dumps({name: f"A {name} lamp" for name in SCENARIOS})], seconds=0.1)
    session = (await paid.post(CREATE, {"product": "Lamp"})).json["session_id"]
    path = "/api/scenes/generate-descriptions"
    answers = await asyncio.gather(*(paid.post(path, {"session_id": session}) for _ in range(5)))
    assert {answer.status for answer in answers} == {200}
    assert len(wire.texts) == 1


async def test_a_writer_that_fails(paid: House, wire: RunwareServer) -> None:
    wire.script_text(["I cannot do that"])
    session = (await paid.post(CREATE, {"product": "Lamp"})).json["session_id"]
    error = problem(await paid.post("/api/scenes/generate-descriptions", {"session_id": session}), 500, 502)
    assert detail(error)["code"] == "writer_failed"
    assert (await paid.get(f"/api/session/{session}")).json["scene_descriptions"] == []


# ---------------------------------------------------------------------- the list


async def test_the_list_in_pages(local: House) -> None:
    made = [await local.session(product=f"Lamp {number}") for number in range(5)]
    newest = list(reversed(made))
    first = (await local.get("/api/sessions?limit=2")).json
    assert (first["success"], first["total"], first["limit"], first["offset"]) == (True, 5, 2, 0)
    assert [item["session_id"] for item in first["sessions"]] == newest[:2]
    assert first["sessions"][0]["product"] == "Lamp 4"
    assert first["sessions"][0]["approved"] == list(SCENARIOS)
    rest = (await local.get("/api/sessions?limit=200&offset=2")).json
    assert [item["session_id"] for item in rest["sessions"]] == newest[2:]
    assert (await local.get("/api/sessions?offset=99")).json["sessions"] == []
    assert (await local.get("/api/sessions?limit=0")).json["total"] == 5
    problem(await local.get("/api/sessions?limit=201"), 400)


# ---------------------------------------------------------------------- descriptions in place of a session


@pytest.mark.parametrize("shape", ["texts", "objects", "list"])
async def test_generating_from_descriptions(paid: House, wire: RunwareServer, shape: str) -> None:
    wire.script_default(Script(hold=True))
    scenes: dict[str, Any] = {
        "texts": {name: f"A {name} lamp" for name in SCENARIOS},
        "objects": {name: {"description": f"A {name} lamp"} for name in SCENARIOS},
        "list": [{"scenario": name, "description": f"A {name} lamp"} for name in SCENARIOS],
    }
    answer = await paid.post(GENERATE, {"scene_descriptions": scenes[shape]})
    assert answer.status == 200
    assert answer.json["message"] == "Video generation started for 4 scenes"
    assert len(await wire.wait_for_charges(4)) == 4
    session = (await paid.get(f"/api/session/{answer.json['session_id']}")).json
    assert [scene["approved"] for scene in session["scene_descriptions"]] == [True] * 4


async def test_generating_from_descriptions_that_are_not_approved(paid: House, wire: RunwareServer) -> None:
    scenes = {name: {"description": f"A {name} lamp", "approved": name != "cta"} for name in SCENARIOS}
    error = problem(await paid.post(GENERATE, {"scene_descriptions": scenes}), 400)
    assert detail(error)["unapproved"] == ["cta"]
    assert wire.submits == []


async def test_generating_from_too_few_descriptions_leaves_no_session(
    paid: House, wire: RunwareServer
) -> None:
    """What is refused leaves nothing behind."""
    error = problem(await paid.post(GENERATE, {"scene_descriptions": {"hook": "A lamp"}}), 400)
    assert detail(error)["missing"] == ["problem", "solution", "cta"]
    assert wire.submits == []
    assert (await paid.get("/api/sessions")).json["total"] == 0


@pytest.mark.parametrize(
    "given", ["A lamp", {"description": "A lamp"}, {"scenario": "cta", "description": "A lamp"}]
)
async def test_regenerating_from_a_description(paid: House, wire: RunwareServer, given: Any) -> None:
    answer = await paid.post(REGENERATE, {"scenario": "cta", "scene_description": given})
    assert answer.status == 200
    assert answer.json["message"] == "Video regenerated successfully for cta"
    assert [charge.prompt for charge in wire.charges] == ["A lamp"]
    session = (await paid.get(f"/api/session/{answer.json['session_id']}")).json
    assert [video["video_url"] for video in session["scene_videos"]] == [answer.json["video_url"]]


async def test_a_description_that_names_another_scenario(paid: House, wire: RunwareServer) -> None:
    """Two scenarios in one request: a mistake that would cost money."""
    scene = {"scenario": "hook", "description": "A lamp"}
    problem(await paid.post(REGENERATE, {"scenario": "cta", "scene_description": scene}), 400, 422)
    assert wire.submits == []


# ---------------------------------------------------------------------- what the model cannot do

KLING = "klingai:kling-video@3-standard"
VEO = "google:3@3"


@pytest.mark.parametrize(
    ("brief", "field", "allowed"),
    [
        ({"model": "nothing:1@1"}, "model", KLING),
        ({"model": "local:preview@1"}, "model", KLING),
        ({"aspect_ratio": "21:9"}, "aspect_ratio", "16:9"),
        ({"model": VEO, "aspect_ratio": "1:1"}, "aspect_ratio", "9:16"),
        ({"seconds_per_scene": 2}, "seconds_per_scene", "3"),
        ({"seconds_per_scene": 5.5}, "seconds_per_scene", "15"),
        ({"model": VEO, "seconds_per_scene": 5}, "seconds_per_scene", "8"),
        ({"scenes": {"hook": {"description": "A lamp", "duration": 99}}}, "duration", "15"),
        ({"scenes": {"hook": "x" * 2501}}, "description", "2500"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_the_model_cannot_do(
    paid: House, wire: RunwareServer, brief: dict[str, Any], field: str, allowed: str
) -> None:
    """422 with the name that the client used, and what is allowed."""
    error = problem(await paid.post(CREATE, {"product": "Lamp", **brief}), 422)
    assert allowed in error["error"]
    assert (await paid.get("/api/sessions")).json["total"] == 0
    assert wire.submits == []
    assert detail(error)["field"] == field
    if field != "description":
        assert allowed in str(detail(error)["allowed"])
    else:
        assert detail(error)["scenario"] == "hook"


async def test_what_the_model_cannot_do_in_an_edit(paid: House, wire: RunwareServer) -> None:
    session = await paid.session()
    error = problem(await paid.put(f"/api/session/{session}/scenes/hook", {"duration": 99}), 422)
    assert "15" in error["error"]
    scene = (await paid.get(f"/api/session/{session}")).json["scene_descriptions"][0]
    assert (scene["duration"], scene["approved"]) == (None, True), "nothing was saved"
    problem(await paid.post(GENERATE, {"scenes": {"hook": {"description": "A lamp", "duration": 99}}}), 422)
    one = {"scenario": "hook", "scene_description": {"description": "A lamp", "duration": 99}}
    problem(await paid.post(REGENERATE, one), 422)
    assert wire.submits == []


async def test_the_same_scenario_twice(paid: House) -> None:
    scenes = [{"scenario": "hook", "description": "A"}, {"scenario": "hook", "description": "B"}]
    error = problem(await paid.post(CREATE, {"product": "Lamp", "scenes": scenes}), 422)
    assert fields(error) == ["scenes"]
    assert "twice" in error["error"]
