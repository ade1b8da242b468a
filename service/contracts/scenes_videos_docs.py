"""What the scenes contract says of its jobs and videos; ``scenes_docs`` has the rest."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from service.contracts import scenes_bodies as bodies
from service.contracts import scenes_examples as examples
from service.contracts import scenes_replies as replies
from service.contracts.describing import EVENT_STREAM, Doc, Param, Reply, Tag
from service.contracts.scenes_docs import INVALID, NO_JSON, NO_SESSION

VIDEOS = Tag(
    name="Scenes: videos",
    description=(
        "A job films the approved scenes of a session side by side. Each scene goes its own way: one that "
        "fails stops no other, and is made again with *regenerate* or, all that is missing, with *resume*. "
        "Poll the status every 5 seconds, or when `poll_after_ms` says; stop at `completed`, `partial` or "
        "`failed`. Errors of this contract are `{success: false, error, detail}`."
    ),
)


class Patience(BaseModel):
    """How long a status request may wait."""

    wait: Annotated[
        int, Field(ge=0, le=60, description="Seconds to hold the answer back until the status changes")
    ] = 0


class Waiting(BaseModel):
    """Whether the request is held until the video is there."""

    is_async: Annotated[
        Literal["1", "true", "0", "false"] | None,
        Field(alias="async", description="Like `Prefer: respond-async`, for those who cannot set headers"),
    ] = None


NO_JOB = "There is no such job, or it is somebody else's"
JOB_PATH = {"job_id": Param("As answered when it was started", {"type": "string", "maxLength": 64})}
_CLASH = "Other content of the scene is being filmed; wait for it or cancel it"
_NOT_READY = "Descriptions are missing or not approved, and `detail` names their scenarios; or no valid JSON"
_REGENERATED = {
    "success": True,
    "message": "Video regenerated successfully for hook",
    "video_url": examples.VIDEO_URL,
    "scenario": "hook",
    "session_id": examples.SESSION_ID,
    "job_id": examples.JOB_ID,
    "take": 2,
    "provider": "runware",
}
_REGENERATING = {
    "success": True,
    "message": "Video regeneration started for hook",
    "job_id": examples.JOB_ID,
    "scenario": "hook",
    "session_id": examples.SESSION_ID,
    "status_url": examples.STATUS_URL,
}
_CANCELLED = {
    "success": True,
    "message": "Cancelled; nothing had been sent",
    "job_id": examples.JOB_ID,
    "overall_status": "failed",
    "cancelled": ["hook", "problem", "solution", "cta"],
    "still_billed": [],
    "status_url": examples.STATUS_URL,
}

GENERATE_SCENES = Doc(
    operation_id="generateScenes",
    summary="Film all four scenes",
    description=(
        "Give `session_id`, whose approved descriptions are filmed, or `scene_descriptions` in its place, "
        "written as for *createSession*. Answered at once; the job runs on, whoever watches. A second press "
        "joins the running job (`joined`). `lane` `batch` lets go first those who wait at a screen."
    ),
    tag=VIDEOS,
    body=bodies.StartGeneration,
    body_examples={
        "A session": {"session_id": examples.SESSION_ID},
        "Descriptions": {
            "scene_descriptions": [
                {"scenario": name, "description": f"A lamp in its {name} scene"}
                for name in ("hook", "problem", "solution", "cta")
            ]
        },
    },
    replies={
        200: Reply("The job", model=replies.ScenesStarted, examples={"Started": examples.STARTED}),
        400: _NOT_READY,
        404: NO_SESSION,
        409: _CLASH,
        415: NO_JSON,
        422: INVALID,
    },
)

STATUS = Doc(
    operation_id="getJobStatus",
    summary="Ask how far a job is: poll, long poll or event stream",
    description=(
        "A poll costs nothing. Send the `ETag` back in `If-None-Match`: an unchanged status is 304, and with "
        "`wait` the answer comes with the next change. With `Accept: text/event-stream` the same comes as "
        "server-sent events: `scene` for each kept transition (numbered; resume with `Last-Event-ID`), "
        "`status` with the body of a poll after every change, `end` when nothing more can come."
    ),
    tag=VIDEOS,
    path=JOB_PATH,
    query=Patience,
    headers={
        "If-None-Match": "The `ETag` of the status that is known already",
        "Last-Event-ID": "Event stream: the last one that was received",
    },
    replies={
        200: (
            Reply(
                "The status as it is now",
                model=replies.ScenesJob,
                examples={"Under way": examples.UNDER_WAY, "Partial": examples.PARTIAL},
                headers={"ETag": "Names this status"},
            ),
            Reply("Or its stream", media=EVENT_STREAM, examples={"Events": examples.EVENTS}),
        ),
        204: "Event stream: the client has seen the end already",
        304: Reply("Nothing has changed", headers={"ETag": "Names the status that is known"}),
        400: "wait must be a whole number from 0 to 60",
        404: NO_JOB,
    },
)

REGENERATE_SCENE = Doc(
    operation_id="regenerateScene",
    summary="Film one scene again",
    description=(
        "Give `session_id`, whose approved description is filmed, or `scene_description` in its place. The "
        "answer waits for the video, which takes minutes at a real provider; a client that hangs up stops "
        "nothing. With `Prefer: respond-async` or `?async=1` it is answered at once, with 202 and the job "
        "to poll."
    ),
    tag=VIDEOS,
    query=Waiting,
    headers={
        "Prefer": Param("`respond-async`: do not wait", {"type": "string", "examples": ["respond-async"]})
    },
    body=bodies.RegenerateScene,
    body_examples={
        "A session's scene": {"session_id": examples.SESSION_ID, "scenario": "hook"},
        "A description": {
            "scenario": "hook",
            "scene_description": {"description": "A lamp wakes up and yawns"},
        },
    },
    replies={
        200: Reply("The new take", model=replies.SceneRegenerated, examples={"Filmed": _REGENERATED}),
        202: Reply(
            "Under way: it was asked for so, or the provider is overdue",
            model=replies.SceneRegenerationStarted,
            examples={"Under way": _REGENERATING},
            headers={"Location": "Where to ask how far it is", "Preference-Applied": "`respond-async`"},
        ),
        400: f"{_NOT_READY}; or `async` is none of 1, true, 0, false",
        404: NO_SESSION,
        409: _CLASH,
        415: NO_JSON,
        422: INVALID,
        500: "Video for hook was not regenerated: the provider failed; `detail` says whether to try again",
    },
)

RESUME = Doc(
    operation_id="resumeJob",
    summary="Film what a partial, failed or cancelled job is missing",
    description=(
        "A new job beside the old one. A video that was made but could not be fetched is fetched, not paid "
        "again. While the job is under way it answers that job. The body may be left out or be `{}`."
    ),
    tag=VIDEOS,
    path=JOB_PATH,
    body=bodies.Nothing,
    body_required=False,
    replies={
        200: Reply(
            "The new job",
            model=replies.ScenesStarted,
            examples={"Started": {**examples.STARTED, "resumed_job_id": examples.JOB_ID}},
        ),
        400: _NOT_READY,
        404: NO_JOB,
        409: "Nothing is missing from this job, or it is one of another API, without a session",
        415: NO_JSON,
        422: INVALID,
    },
)

CANCEL = Doc(
    operation_id="cancelJob",
    summary="Cancel a job, or some of its scenes",
    description=(
        "What has not been sent costs nothing. What has, the provider finishes and bills (`still_billed`); "
        "its video is kept as a take if it comes. Without a body all scenes are meant."
    ),
    tag=VIDEOS,
    path=JOB_PATH,
    body=bodies.CancelScenes,
    body_required=False,
    body_examples={"Some scenes": {"scenarios": ["solution", "cta"]}, "All": {}},
    replies={
        200: Reply("What has ended", model=replies.ScenesCancelled, examples={"All": _CANCELLED}),
        400: "There is no such scenario, or the body is not valid JSON",
        404: NO_JOB,
        409: "There is nothing to cancel: it is over already",
        415: NO_JSON,
        422: INVALID,
    },
)
