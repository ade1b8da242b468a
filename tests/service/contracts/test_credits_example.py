"""The example of document 004, unchanged, against a real server: in node, which has the browser's fetch."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.house import House
from tests.node import NODE
from tests.service.contracts.credits_kit import charged
from tests.wire.runware_server import RunwareServer, Script

#: "New Flow" of the document, to the letter
# ruff: disable[W291, W293]
EXAMPLE = """
// 1. Start generation (returns immediately)
const response = await fetch('/videos/generate', {
  method: 'POST', 
  body: JSON.stringify(videoRequest)
});
const { job_id } = await response.json();

// 2. Poll for status
const checkStatus = async () => {
  const status = await fetch(`/videos/jobs/${job_id}/status`);
  const data = await status.json();
  
  if (data.status === 'completed') {
    // 3. Get the final video
    const result = await fetch(`/videos/jobs/${job_id}/result`);
    const { video } = await result.json();
    // Show video to user
  } else if (data.status === 'failed') {
    // Handle error
  } else {
    // Still processing, check again in 5 seconds
    setTimeout(checkStatus, 5000);
  }
};

checkStatus();
"""
# ruff: enable[W291, W293]

#: what a page has and node has not: an address of its own, patience, and somebody who looks
PAGE = """
const [origin, request] = process.argv.slice(2);
const videoRequest = JSON.parse(request);
const asked = globalThis.fetch, later = globalThis.setTimeout;
const said = (what) => console.log(JSON.stringify(what));
globalThis.setTimeout = (again, pause, ...more) => {
  if (again.name !== 'checkStatus') return later(again, pause, ...more);
  said({ pause });
  return later(again, pause / 100);
};
globalThis.fetch = async (path, how = {}) => {
  const answer = await asked(origin + path, { ...how, headers: { Origin: origin } });
  said({ method: how.method ?? 'GET', path, status: answer.status, body: await answer.clone().json() });
  return answer;
};
"""


async def seen(house: House, folder: Path, request: Any) -> list[Any]:
    """What the example has asked for and got."""
    script = folder / "example.mjs"
    script.write_text(PAGE + EXAMPLE)
    process = await asyncio.create_subprocess_exec(
        NODE, str(script), house.address, json.dumps(request), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), timeout=60)
    assert process.returncode == 0
    return [json.loads(line) for line in out.decode().splitlines()]


async def test_the_example_shows_a_video(local: House, tmp_path: Path) -> None:
    request = {"user_id": "ann", "prompt": "[[slow 0.5s]] A lighthouse", "duration": "short"}
    told = await seen(local, tmp_path, request)
    first, *polls, last = [it for it in told if "path" in it]
    job_id = first["body"]["job_id"]
    assert (first["method"], first["path"], first["status"]) == ("POST", "/videos/generate", 202)
    assert {poll["path"] for poll in polls} == {f"/videos/jobs/{job_id}/status"}
    assert polls[-1]["body"]["status"] == "completed"
    assert len(polls) > 1
    assert {it["pause"] for it in told if "pause" in it} == {5000}
    assert (last["path"], last["status"]) == (f"/videos/jobs/{job_id}/result", 200)
    video = last["body"]["video"]
    assert (await local.get(video["url"])).headers["Content-Type"] == "video/mp4"
    assert video["user_id"] == "ann"


async def test_the_example_hears_of_a_failure(local: House, tmp_path: Path) -> None:
    told = [it for it in await seen(local, tmp_path, {"prompt": "[[fail]] A lighthouse"}) if "path" in it]
    assert told[-1]["path"].endswith("/status")
    assert told[-1]["body"]["status"] == "failed"
    assert charged(local, told[0]["body"]["job_id"]) == ["hold", "capture", "refund"]


async def test_the_example_with_a_paid_provider(paid: House, wire: RunwareServer, tmp_path: Path) -> None:
    wire.script_default(Script(seconds=0.3))
    told = await seen(paid, tmp_path, {"prompt": "A lighthouse", "duration": "medium"})
    assert told[-1]["body"]["video"]["generation_type"] == "text_to_video"
    assert len(wire.charges) == 1
