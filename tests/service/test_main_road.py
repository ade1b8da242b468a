"""One brief becomes four videos, with either provider."""

from __future__ import annotations

from tests.house import SCENARIOS, House
from tests.wire.runware_server import RunwareServer, Script


async def test_a_brief_becomes_four_previews(local: House) -> None:
    created = await local.post("/api/session/create", {"product": "Lamp", "offer": "30 nights free"})
    session_id = created.json["session_id"]
    written = await local.post("/api/scenes/generate-descriptions", {"session_id": session_id})
    assert "30 nights free" in written.json["scene_descriptions"][3]["description"]
    await local.post(f"/api/session/{session_id}/approve", {})

    job = await local.finished(await local.generate(session_id))

    assert job["overall_status"] == "completed"
    assert job["provider"] == "local"
    assert [scene["scenario"] for scene in job["scenes"]] == list(SCENARIOS)
    for scene in job["scenes"]:
        video = await local.get(scene["video_url"])
        assert video.body[4:8] == b"ftyp"


async def test_the_same_road_with_runware(paid: House, wire: RunwareServer) -> None:
    session_id = await paid.session()
    job = await paid.finished(await paid.generate(session_id))

    assert job["overall_status"] == "completed"
    assert [scene["cost_usd"] for scene in job["scenes"]] == [Script().cost] * 4
    assert len(wire.charges) == 4
    assert wire.paid_twice() == []
    session = await paid.get(f"/api/session/{session_id}")
    assert [video["scenario"] for video in session.json["scene_videos"]] == list(SCENARIOS)


async def test_one_failing_scene_leaves_the_others_alone(paid: House, wire: RunwareServer) -> None:
    wire.script("problem", Script(fail_code="providerError", fail_message="the model fell over"))
    job = await paid.finished(await paid.generate(await paid.session()))

    assert job["overall_status"] == "partial"
    failed = {scene["scenario"]: scene for scene in job["scenes"]}["problem"]
    assert (failed["status"], failed["error_code"], failed["video_url"]) == ("failed", "provider", None)
    assert [scene["status"] for scene in job["scenes"]].count("completed") == 3
