"""The clients of document 001, as they are printed there: its JavaScript class and its curl commands."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.house import House
from tests.node import NODE
from tests.service.contracts.test_identity import ANN, ON, token
from tests.service.contracts.video_jobs_kit import (
    PATH,
    checked,
    ended,
    looked,
    picture,
    small_house,
)

#: document 001, "Frontend Implementation Example", to the letter
CLIENT = """\
class VideoGenerationClient {
  constructor(apiBase, authToken) {
    this.apiBase = apiBase;
    this.authToken = authToken;
  }

  async createJob(params) {
    const formData = new FormData();
    
    if (params.prompt) formData.append('prompt', params.prompt);
    formData.append('model', params.model);
    formData.append('resolution', params.resolution);
    formData.append('aspectRatio', params.aspectRatio);
    if (params.durationSeconds) formData.append('durationSeconds', params.durationSeconds);
    
    if (params.initialImage) formData.append('initialImage', params.initialImage);
    if (params.endFrame) formData.append('endFrame', params.endFrame);
    if (params.referenceImages) {
      params.referenceImages.forEach(img => formData.append('referenceImages', img));
    }

    const response = await fetch(`${this.apiBase}/video-jobs`, {
      method: 'POST',
      headers: {
        'Authorization': `Bearer ${this.authToken}`
      },
      body: formData
    });

    if (response.status === 402) {
      const error = await response.json();
      throw new Error(`Insufficient tokens: ${error.detail.message}`);
    }

    if (!response.ok) {
      throw new Error(`Failed to create job: ${response.statusText}`);
    }

    return await response.json();
  }

  async pollJob(jobId, onUpdate) {
    const poll = async () => {
      const response = await fetch(`${this.apiBase}/video-jobs/${jobId}`, {
        headers: {
          'Authorization': `Bearer ${this.authToken}`
        }
      });

      const job = await response.json();
      onUpdate(job);

      // Continue polling if job is still in progress
      if (job.status === 'PENDING' || job.status === 'RUNNING') {
        setTimeout(poll, 3000); // Poll every 3 seconds
      }
    };

    poll();
  }

  async listJobs(statusFilter = null, limit = 50) {
    const params = new URLSearchParams({ limit });
    if (statusFilter) params.append('status_filter', statusFilter);

    const response = await fetch(`${this.apiBase}/video-jobs?${params}`, {
      headers: {
        'Authorization': `Bearer ${this.authToken}`
      }
    });

    return await response.json();
  }

  async deleteJob(jobId) {
    await fetch(`${this.apiBase}/video-jobs/${jobId}`, {
      method: 'DELETE',
      headers: {
        'Authorization': `Bearer ${this.authToken}`
      }
    });
  }
}
"""  # noqa: W293 - to the letter

#: its "Usage Example", which waits for the end and says what it saw; a test has no three seconds
USAGE = """
const [apiBase, userToken, image] = process.argv.slice(2);
const later = globalThis.setTimeout;
globalThis.setTimeout = (call, ms, ...rest) => later(call, ms === 3000 ? 20 : ms, ...rest);

const client = new VideoGenerationClient(apiBase, userToken);
const order = {
  prompt: 'A sunset over mountains',
  model: 'veo-3.1-fast-generate-preview',
  resolution: '1080p',
  aspectRatio: '16:9',
  durationSeconds: 8
};
(async () => {
  const job = await client.createJob(order);
  const seen = [];
  const done = await new Promise((resolve) => client.pollJob(job.id, (update) => {
    seen.push([update.status, update.progressPercentage]);
    if (update.status !== 'PENDING' && update.status !== 'RUNNING') resolve(update);
  }));
  const file = new File([Buffer.from(image, 'base64')], 'frame.png', { type: 'image/png' });
  const pictured = await client.createJob({
    ...order, prompt: null, initialImage: file, endFrame: file, referenceImages: [file, file, file]
  });
  const listed = await client.listJobs('SUCCEEDED', 10);
  const all = await client.listJobs();
  await client.deleteJob(pictured.id);
  const left = await client.listJobs();
  console.log(JSON.stringify({ job, seen, done, pictured, listed, all, left }));
})();
"""


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Identity on; Ann's tokens are enough for two jobs."""
    async with small_house(tmp_path, ON, {"credits": {"opening_tokens": 120}}) as opened:
        yield opened


async def run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    return out.decode()


async def test_the_documents_client_runs_unchanged(house: House, tmp_path: Path) -> None:
    script = tmp_path / "client.cjs"
    script.write_text(CLIENT + USAGE, encoding="utf-8")
    image = base64.b64encode(picture()).decode()
    said = json.loads(await run(NODE, str(script), f"{house.address}/api/v1", token("ann"), image))
    assert (said["job"]["status"], said["job"]["tokensConsumed"]) == ("PENDING", 50)
    assert said["job"]["userId"] == "ann"
    assert said["seen"][-1] == ["SUCCEEDED", 100]
    percents = [percent for _, percent in said["seen"]]
    assert percents == sorted(percents)
    assert said["done"]["cloudinaryUrl"].startswith(house.address)
    assert (await house.get(said["done"]["cloudinaryUrl"])).status == 200
    assert said["listed"]["jobs"][-1]["id"] == said["job"]["id"]
    assert said["all"]["total"] == 2
    assert [it["id"] for it in said["left"]["jobs"]] == [said["job"]["id"]]
    for job in (said["job"], said["done"], said["pictured"]):
        checked(job)


async def test_the_documents_client_tells_of_missing_tokens(tmp_path: Path) -> None:
    script = tmp_path / "client.cjs"
    script.write_text(
        CLIENT
        + """
const [apiBase, userToken] = process.argv.slice(2);
new VideoGenerationClient(apiBase, userToken)
  .createJob({
    prompt: 'A sunset', model: 'veo-3.1-fast-generate-preview', resolution: '1080p', aspectRatio: '16:9'
  })
  .catch((error) => console.log(error.message));
""",
        encoding="utf-8",
    )
    async with small_house(tmp_path, ON, {"credits": {"opening_tokens": 20}}) as house:
        said = await run(NODE, str(script), f"{house.address}/api/v1", token("ann"))
    assert said.strip() == (
        "Insufficient tokens: "
        "Insufficient tokens. Operation 'video_generation' costs 50 tokens but you have 20."
    )


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
async def test_the_documents_commands_run_unchanged(house: House) -> None:
    """ "Testing": three scenarios, with the address, the token and the job filled in."""
    bearer = f"Authorization: Bearer {token('ann')}"
    url = f"{house.address}{PATH}"

    async def curl(*arguments: str) -> Any:
        return json.loads(await run("curl", "-sS", *arguments))

    job = await curl(
        *("-X", "POST", url),
        *("-H", bearer),
        *("-F", "prompt=A beautiful sunset over mountains"),
        *("-F", "model=veo-3.1-fast-generate-preview"),
        *("-F", "resolution=1080p"),
        *("-F", "aspectRatio=16:9"),
    )
    assert (checked(job)["status"], job["durationSeconds"]) == ("PENDING", 8)
    await ended(house, job["id"])
    assert await curl(f"{url}/{job['id']}", "-H", bearer) == await looked(house, job["id"], ANN)
    assert (await curl(url, "-H", bearer))["total"] == 1
    video = await run(
        "curl", "-sSL", "-o", "/dev/null", "-w", "%{http_code} %{content_type}", "-H", bearer,
        f"{url}/{job['id']}/download",
    )  # fmt: skip
    assert video == "200 video/mp4"
