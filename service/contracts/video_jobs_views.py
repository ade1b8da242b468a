"""Jobs in the words of the video jobs contract (document 001)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from service.clips import NOBODY
from service.contracts.video_jobs_logs import log_lines, moment
from service.contracts.videos import VideoAddresses, has_video
from service.outlook import Outlook
from sessions.model import Event, Job, JobSnapshot, JobState, Scene, SceneState, Stage
from sessions.rollup import job_progress

#: under which of config.toml's [terms] jobs of this contract are ordered
TERMS = "video_jobs"

STATUS: Mapping[JobState, str] = MappingProxyType(
    {
        JobState.QUEUED: "PENDING",
        JobState.RUNNING: "RUNNING",
        JobState.SUCCEEDED: "SUCCEEDED",
        JobState.PARTIAL: "SUCCEEDED",
        JobState.FAILED: "FAILED",
        JobState.CANCELLED: "CANCELLED",
    }
)

MESSAGE: Mapping[str, str] = MappingProxyType(
    {
        "PENDING": "Job queued for processing",
        "RUNNING": "Video generation in progress...",
        "SUCCEEDED": "Video generation completed successfully!",
        "FAILED": "Video generation failed",
        "CANCELLED": "Cancelled by user",
    }
)

#: width to height of what people call the shape of a video
_RATIOS = {"16:9": 16 / 9, "9:16": 9 / 16, "1:1": 1.0, "4:3": 4 / 3, "3:4": 3 / 4}


def job_body(
    snapshot: JobSnapshot,
    events: Sequence[Event],
    outlook: Outlook,
    base: str,
    addresses: VideoAddresses,
    *,
    now: datetime,
    notes: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """A VideoJob: the documented fields, and what helps a frontend further where there is any.

    ``base`` is what ``addresses.base_of`` answers.
    """
    job, scene = snapshot.job, snapshot.scenes[0]
    status = STATUS[job.state]
    return {
        "id": job.id,
        "userId": job.owner or NOBODY,
        **asked_of(job, scene),
        "status": status,
        "statusMessage": MESSAGE[status],
        "progressPercentage": _percent(snapshot),
        "logs": log_lines(snapshot, events),
        "tokensConsumed": _tokens(snapshot),
        "createdAt": moment(job.created_at),
        "updatedAt": moment(max(it.updated_at for it in snapshot.scenes)),
        **_ended(snapshot, base, addresses),
        **_ahead(snapshot, outlook, now, notes),
    }


def _percent(snapshot: JobSnapshot) -> int:
    """100 for whatever is called succeeded: clients of this contract do not know of parts."""
    done = STATUS[snapshot.job.state] == "SUCCEEDED"
    return 100 if done else job_progress([it.progress for it in snapshot.scenes])


def asked_of(job: Job, scene: Scene) -> dict[str, Any]:
    """What was ordered: in the client's own words, or as its first scene has it."""
    given = job.asked if job.terms == TERMS else {}
    derived: dict[str, Any] = {
        "prompt": scene.prompt,
        "model": scene.model,
        "resolution": f"{min(scene.width, scene.height)}p",
        "aspectRatio": _ratio(scene.width, scene.height),
        "durationSeconds": int(scene.seconds) if scene.seconds.is_integer() else scene.seconds,
        "generateAudio": scene.sound,
        "mockMode": scene.provider == "local",
    }
    return {name: given.get(name, value) for name, value in derived.items()}


def shown(snapshot: JobSnapshot) -> Scene | None:
    """The scene whose video is the job's: the first that has one."""
    return next((scene for scene in snapshot.scenes if has_video(scene) and scene.file), None)


def _ended(snapshot: JobSnapshot, base: str, addresses: VideoAddresses) -> dict[str, Any]:
    """What is known at the end only."""
    job = snapshot.job
    found: dict[str, Any] = {}
    if job.finished_at:
        found["completedAt"] = moment(job.finished_at)
    failure = next((it.failure for it in snapshot.scenes if it.failure), None)
    if job.state is JobState.FAILED and failure:
        found |= {"errorMessage": failure.message, "errorCode": failure.code, "retryable": failure.retryable}
    if job.closed and (scene := shown(snapshot)):
        found["cloudinaryUrl"] = addresses.of(scene, job.owner, base)
    return found


def _ahead(
    snapshot: JobSnapshot, outlook: Outlook, now: datetime, notes: Mapping[str, str]
) -> dict[str, Any]:
    """Places in the queue and estimates, while there are any."""
    found: dict[str, Any] = {}
    if positions := [it.queue_position for it in outlook.scenes.values() if it.queue_position]:
        found["queuePosition"] = min(positions)
    if outlook.eta and snapshot.job.state is JobState.QUEUED:
        # Its end moves on for as long as it waits; how long that is stays the same.
        found["estimatedWaitSeconds"] = max(0, math.ceil((outlook.eta.latest - now).total_seconds()))
    elif outlook.eta:
        found["estimatedCompletionAt"] = moment(outlook.eta.latest)
    if note := next((notes[it.id] for it in snapshot.scenes if notes.get(it.id)), None):
        found["note"] = note
    return found


def _tokens(snapshot: JobSnapshot) -> int:
    """What the job has cost: from its creation on, until it is given back."""
    job = snapshot.job
    price = int(job.asked.get("charged", 0)) if job.terms == TERMS else 0
    return 0 if all(map(_given_back, snapshot.scenes)) else price


def _given_back(scene: Scene) -> bool:
    """Whether no video can come of it any more (see ``sessions.ledger.permitted``)."""
    cancelled = scene.state is SceneState.CANCELLED and not scene.owed and scene.stage is not Stage.COMPLETE
    return cancelled or scene.state is SceneState.FAILED


def _ratio(width: int, height: int) -> str:
    return min(_RATIOS, key=lambda name: abs(math.log(_RATIOS[name] * height / width)))
