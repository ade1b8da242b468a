"""The rival: four scenes a job as one would write it in an afternoon, with FastAPI, httpx and the SDK.

    python -m bench.obvious_fastapi PROVIDER FOLDER

PROVIDER is host:port of the provider. Jobs live in a dict, files go where they belong under their own name,
nothing is checked, repeated or kept over a restart. FastAPI and uvicorn are no dependencies of this project.

One kindness: downloads take turns. With thousands waiting in its pool, httpx looks through all of them at
every step, and the job would not end within minutes.
"""

# mypy: ignore-errors
# (FastAPI is not installed where the types are checked.)

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from runware import Runware

from bench.sdk_alone import video_task

PROVIDER, FOLDER = sys.argv[1], Path(sys.argv[2])
DOWNLOADS = asyncio.Semaphore(100)


class Scene(BaseModel):
    scenario: str
    status: str = "generating"
    progress: int = 0
    video_url: str | None = None
    error: str | None = None
    generated_at: float | None = None
    completed_at: float | None = None


class Job(BaseModel):
    job_id: str
    overall_status: str = "generating"
    scenes: list[Scene]


class Order(BaseModel):
    prompts: dict[str, str]


class Started(BaseModel):
    job_id: str


jobs: dict[str, Job] = {}
running: set[asyncio.Task[None]] = set()


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    urls = {"ws_base_url": f"ws://{PROVIDER}/v1", "http_base_url": f"http://{PROVIDER}/v1"}
    async with (
        Runware(api_key=os.environ["RUNWARE_API_KEY"], **urls) as app.state.runware,
        httpx.AsyncClient(timeout=60) as app.state.http,
    ):
        yield


app = FastAPI(lifespan=lifespan)


async def make_scene(job: Job, scene: Scene, prompt: str) -> None:
    try:
        result = await app.state.runware.run(video_task(prompt))
        scene.generated_at, scene.progress = time.time(), 80
        name = f"{job.job_id}_{scene.scenario}.mp4"
        async with DOWNLOADS, app.state.http.stream("GET", result[0]["videoURL"]) as response:
            response.raise_for_status()
            with (FOLDER / name).open("wb") as file:
                async for chunk in response.aiter_bytes():
                    file.write(chunk)
        scene.video_url, scene.status, scene.progress = f"/outputs/{name}", "completed", 100
        scene.completed_at = time.time()
    except Exception as error:  # noqa: BLE001 - the obvious way
        scene.status, scene.error = "failed", repr(error)


async def make_job(job: Job, prompts: dict[str, str]) -> None:
    await asyncio.gather(*(make_scene(job, scene, prompts[scene.scenario]) for scene in job.scenes))
    failed = sum(scene.status == "failed" for scene in job.scenes)
    job.overall_status = "completed" if not failed else "failed" if failed == len(job.scenes) else "partial"


@app.post("/api/videos/generate-scenes")
async def generate(order: Order) -> Started:
    job = Job(job_id=str(uuid.uuid4()), scenes=[Scene(scenario=name) for name in order.prompts])
    jobs[job.job_id] = job
    task = asyncio.create_task(make_job(job, order.prompts))
    running.add(task)
    task.add_done_callback(running.discard)
    return Started(job_id=job.job_id)


@app.get("/api/videos/status/{job_id}")
async def status(job_id: str) -> Job:
    if job_id not in jobs:
        raise HTTPException(404)
    return jobs[job_id]


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


def main() -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])


if __name__ == "__main__":
    main()
