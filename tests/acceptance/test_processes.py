"""Real processes: the demo, the documented usage example, signals, kills, refusals."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from pathlib import Path

import httpx
import pytest

from tests.acceptance.server import ServerProcess, log_of, scenewright, serving
from tests.house import SCENARIOS
from tests.wire.runware_server import RunwareServer, Script

APPROVED = {name: {"description": f"A calm {name} shot", "approved": True} for name in SCENARIOS}


def paid(wire: RunwareServer) -> dict[str, str]:
    return {
        "RUNWARE_API_KEY": "test-key",
        "SCENEWRIGHT_RUNWARE__WS_URL": wire.ws_url,
        "SCENEWRIGHT_RUNWARE__HTTP_URL": wire.http_url,
    }


async def start_job(server: ServerProcess) -> tuple[str, str]:
    created = await server.post("/api/session/create", {"product": "Lamp", "scene_descriptions": APPROVED})
    started = await server.post("/api/videos/generate-scenes", {"session_id": created["session_id"]})
    return created["session_id"], started["job_id"]


async def test_the_demo_makes_four_files_and_says_where(tmp_path: Path) -> None:
    code, out, errors = await scenewright(tmp_path, "demo", COLUMNS="200")
    assert code == 0, errors
    files = [Path(found) for found in re.findall(r"(/\S+\.mp4)", out)]
    assert [file.name.split("_")[1] for file in files] == list(SCENARIOS)
    assert all(file.read_bytes()[4:8] == b"ftyp" for file in files)
    assert "provider: local" in out
    assert "100%" in out


async def test_the_demo_with_a_key_uses_runware(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script_text(['{"hook": "sun rises", "problem": "alarm", "solution": "lamp", "cta": "buy it"}'])
    code, out, errors = await scenewright(tmp_path, "demo", COLUMNS="200", **paid(wire))
    assert code == 0, errors + out
    assert "provider: runware" in out
    assert sorted(charge.prompt for charge in wire.charges) == ["alarm", "buy it", "lamp", "sun rises"]


async def test_a_demo_that_fails_says_so_by_its_exit_code(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script_text(["no JSON at all"])
    code, out, _ = await scenewright(tmp_path, "demo", COLUMNS="200", **paid(wire))
    assert code == 1
    assert "The text model gave no usable descriptions" in out


async def test_the_usage_example_of_the_contract_runs_unchanged(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        created = await server.post(
            "/api/session/create", {"product": "Lamp", "scene_descriptions": APPROVED}
        )
        session_id = created["session_id"]
        async with httpx.AsyncClient(base_url=server.address) as client:
            # 1. Start generation
            response = await client.post("/api/videos/generate-scenes", json={"session_id": session_id})
            job_id = response.json()["job_id"]

            # 2. Poll for status
            while True:
                status = await client.get(f"/api/videos/status/{job_id}")
                data = status.json()

                if data["overall_status"] in ["completed", "failed", "partial"]:
                    break

                await asyncio.sleep(5)  # Poll every 5 seconds

            # 3. Get video URLs from session
            session = await client.get(f"/api/session/{session_id}")
            videos = session.json()["scene_videos"]
    assert data["overall_status"] == "completed"
    assert [video["scenario"] for video in videos] == list(SCENARIOS)


async def test_sigterm_leaves_paid_work_resumable(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    async with serving(tmp_path, **paid(wire)) as server:
        session_id, job_id = await start_job(server)
        await wire.wait_for_charges(4)
        waiting = asyncio.create_task(
            server.post("/api/videos/regenerate-scene", {"session_id": session_id, "scenario": "hook"})
        )
        await wire.wait_for_reads(wire.reads + 1)
        started = time.monotonic()
        assert await server.end(signal.SIGTERM) == 0
        assert time.monotonic() - started < 10
        answer = await waiting
        assert (answer["success"], answer["detail"]["code"]) == (False, "stopping")
    wire.release()
    async with serving(tmp_path, **paid(wire)) as server:
        assert (await server.finished(job_id))["overall_status"] == "completed"
    assert len(wire.charges) == 4
    assert any(line["event"] == "job.resumed" for line in log_of(tmp_path))


async def test_kill_9_at_any_stage_pays_once_and_loses_nothing(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script("hook", Script(drop_after_accept=1))
    wire.script("problem", Script(hold=True))
    wire.script("solution", Script(seconds=0.2))
    async with serving(tmp_path, **paid(wire)) as server:
        session_id, job_id = await start_job(server)
        await wire.wait_for_charges(4)
        await server.end(signal.SIGKILL)
    (tmp_path / "outputs" / "half.mp4.part").write_bytes(b"half")
    wire.release()
    async with serving(tmp_path, **paid(wire)) as server:
        job = await server.finished(job_id)
        session = await server.get(f"/api/session/{session_id}")
    assert job["overall_status"] == "completed"
    assert wire.paid_twice() == []
    assert len(wire.charges) == 4
    files = {video["video_url"].rpartition("/")[2] for video in session["scene_videos"]}
    assert {file.name for file in (tmp_path / "outputs").iterdir()} == files


async def test_two_servers_never_share_a_database(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        code, _, errors = await scenewright(tmp_path, "serve")
        assert code == 2
        assert f"process {server.process.pid}" in errors


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ({"SCENEWRIGHT_SERVER__PORT": "many"}, "scenewright: server.port: Input should be a valid integer"),
        ({"SCENEWRIGHT_SERVR__PORT": "1"}, "scenewright: servr: there is no such setting"),
        ({"SCENEWRIGHT_PROVIDER": "runware"}, "scenewright: provider is runware, but no key is set"),
        (
            {"SCENEWRIGHT_SERVER__HOST": "0.0.0.0"},
            "scenewright: server.host '0.0.0.0' can be reached from outside",
        ),
        ({"SCENEWRIGHT_OUTPUTS__DIR": "/proc/nowhere"}, "scenewright: outputs.dir /proc/nowhere:"),
    ],
)
async def test_a_bad_setting_is_one_readable_line(
    tmp_path: Path, setting: dict[str, str], complaint: str
) -> None:
    code, out, errors = await scenewright(tmp_path, "serve", **setting)
    assert code == 2
    assert out == ""
    (line,) = [line for line in errors.splitlines() if line.startswith("scenewright: ")]
    assert line.startswith(complaint)
    assert "Traceback" not in errors


async def test_migrate_and_doctor_report(tmp_path: Path) -> None:
    code, out, _ = await scenewright(tmp_path, "migrate")
    assert (code, "schema 0006, was empty" in out) == (0, True)
    code, out, _ = await scenewright(tmp_path, "migrate")
    assert (code, "schema 0006 already" in out) == (0, True)
    code, out, errors = await scenewright(tmp_path, "doctor", COLUMNS="200")
    assert (code, out.count("ok ")) == (0, 5), out + errors


async def test_doctor_names_what_is_ill(tmp_path: Path, wire: RunwareServer) -> None:
    settings = {**paid(wire), "RUNWARE_API_KEY": "wrong"}
    code, out, _ = await scenewright(tmp_path, "doctor", COLUMNS="200", **settings)
    assert code == 1
    assert "FAIL provider" in out
    assert "wrong" not in out
