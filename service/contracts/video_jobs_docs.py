"""What the video jobs contract says of itself; ``video_jobs_examples`` has its examples."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from service.contracts import video_jobs_bodies as bodies
from service.contracts import video_jobs_examples as examples
from service.contracts import video_jobs_replies as replies
from service.contracts.describing import JSON, MULTIPART, URLENCODED, Doc, Param, Reply, Tag

VIDEO_JOBS = Tag(
    name="Video jobs",
    description=(
        "One video from a prompt, from images, or from both. A job costs tokens, held when it is ordered and "
        "given back if no video comes of it. Some jobs of a user run side by side (three, unless this server "
        "is configured otherwise), further ones wait (`PENDING`, with `queuePosition`), and when too many "
        "wait, orders are refused with 429. Poll a job every 3 to 5 seconds. Errors of this contract are "
        "`{detail}`: one sentence, and for missing tokens an object."
    ),
)


#: nine digits
_MOST = 999_999_999


class Asking(BaseModel):
    """For whom it is asked."""

    user_id: Annotated[
        str | None, Field(description="The user whose it is; counts only where nobody is asked who they are")
    ] = None


class Listing(Asking):
    """Which jobs are listed."""

    status_filter: Annotated[
        Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", ""] | None,
        Field(description="Only these; upper or lower case, empty: all"),
    ] = None
    limit: Annotated[
        int, Field(ge=0, le=_MOST, description="How many at most; more than 100 are never on one page")
    ] = 50
    offset: Annotated[int, Field(ge=0, le=_MOST, description="How many to leave out first")] = 0
    skip: Annotated[int, Field(ge=0, le=_MOST, description="Another word for `offset`")] = 0


class Showing(BaseModel):
    """How a browser that cannot set headers shows the monitor's token."""

    token: Annotated[
        str | None, Field(description="Needed only where the monitor is closed, if not in a header")
    ] = None


_PATH = {"jobId": Param("As answered when it was ordered", {"type": "string", "format": "uuid"})}
_NO_JOB = "Job not found"

CREATE_JOB = Doc(
    operation_id="createVideoJob",
    summary="Order a video",
    description=(
        "A form, with or without images, or JSON. Nothing is charged unless all of it is valid. A preview "
        "(`mockMode`) is rendered on this server and stands in for any model."
    ),
    tag=VIDEO_JOBS,
    body=bodies.VideoJobForm,
    body_media=(MULTIPART, URLENCODED, JSON),
    body_examples={"A prompt": examples.ORDER},
    replies={
        202: Reply(
            "Ordered",
            model=replies.VideoJob,
            examples={"Queued": examples.QUEUED},
            headers={
                "Location": "Where to ask how far it is",
                "Warning": "What was decided about `mockMode`, where the order did not say it",
            },
        ),
        400: Reply(
            "Something is wrong with the order",
            examples={"Resolution": {"detail": bodies.SENTENCES["resolution"]}},
        ),
        402: Reply("There are not enough tokens", examples={"Poor": examples.POOR}),
        413: "An image is too large",
        429: Reply(
            "Too many jobs are under way, or too many requests came",
            examples={"Full": examples.FULL},
            headers={"Retry-After": "When to try again, in seconds"},
        ),
    },
)

GET_JOB = Doc(
    operation_id="getVideoJob",
    summary="Ask how far a job is",
    description="A poll costs nothing. Send the `ETag` back in `If-None-Match`: what is unchanged is 304.",
    tag=VIDEO_JOBS,
    path=_PATH,
    query=Asking,
    headers={"If-None-Match": "The `ETag` of the answer that is known already"},
    replies={
        200: Reply(
            "The job as it is now",
            model=replies.VideoJob,
            examples={"Waiting": examples.WAITING, "Running": examples.RUNNING, "Done": examples.SUCCEEDED},
            headers={"ETag": "Names this answer"},
        ),
        304: Reply("Nothing has changed", headers={"ETag": "Names the answer that is known"}),
        404: _NO_JOB,
    },
)

LIST_JOBS = Doc(
    operation_id="listVideoJobs",
    summary="List one's own jobs, newest first",
    tag=VIDEO_JOBS,
    query=Listing,
    replies={
        200: Reply(
            "One page",
            model=replies.VideoJobList,
            examples={"One": {"jobs": [examples.RUNNING], "total": 1}},
        ),
        400: "status_filter must be one of PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLED",
    },
)

DOWNLOAD = Doc(
    operation_id="downloadVideoJob",
    summary="Go to the finished video",
    tag=VIDEO_JOBS,
    path=_PATH,
    query=Asking,
    replies={
        302: Reply("It is there", headers={"Location": "Address of the video"}),
        400: "Video not ready yet",
        404: "There is no such job, or its video has been deleted",
    },
)

DELETE = Doc(
    operation_id="deleteVideoJob",
    summary="Delete a job's record",
    description="The video stays where it is. A job that is under way is cancelled first.",
    tag=VIDEO_JOBS,
    path=_PATH,
    query=Asking,
    replies={204: "Deleted", 404: _NO_JOB},
)

CANCEL = Doc(
    operation_id="cancelVideoJob",
    summary="Cancel a job",
    description=(
        "What has not been sent costs nothing, and its tokens are given back. What has, the provider goes on "
        "with and bills: its tokens come back only if no video does."
    ),
    tag=VIDEO_JOBS,
    path=_PATH,
    query=Asking,
    replies={
        200: Reply("Cancelled", model=replies.VideoJob, examples={"Cancelled": examples.CANCELLED}),
        404: _NO_JOB,
        409: "There is nothing to cancel: it is over already",
    },
)

MONITOR = Doc(
    operation_id="getVideoMonitor",
    summary="What everybody's jobs do",
    description=(
        "For the monitor page: the newest 100 jobs, with shortened ids and prompts, without users. Where the "
        "monitor is closed, its token is needed: `Authorization: Bearer ...`, or `?token=`."
    ),
    tag=VIDEO_JOBS,
    query=Showing,
    headers={"If-None-Match": "The `ETag` of the answer that is known already"},
    replies={
        200: Reply(
            "The jobs as they are now",
            model=replies.MonitorFeed,
            examples={"One": examples.FEED},
            headers={"ETag": "Names this answer, apart from its `generatedAt`"},
        ),
        304: Reply("Nothing has changed", headers={"ETag": "Names the answer that is known"}),
        401: "The monitor is closed, and its token was not shown",
    },
)
