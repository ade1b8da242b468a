"""What the credit-jobs contract says of its routes."""

from __future__ import annotations

from service.contracts import credits_bodies as bodies
from service.contracts import credits_examples as examples
from service.contracts import credits_replies as replies
from service.contracts.describing import Doc, Param, Reply, Tag

CREDITS = Tag(
    name="Credit jobs",
    description=(
        "Videos from words or from an image, paid for in DUST. Order one (`202` with a `job_id`), poll the "
        "status every 5 to 10 seconds until it is `completed`, `failed` or `cancelled`, then fetch the "
        "result. A video takes up to 4 minutes.\n\n"
        "**DUST.** As delivered, a video from words costs 10 and one from an image 8 (`[terms]` in the "
        "configuration). They are held when the job is created, which fails with `402` if there are too few; "
        "taken when it starts; and given back if it fails, or is cancelled before anything was sent to the "
        "provider.\n\n"
        "**How long.** Status and result of a job are there for 24 hours after its end, its video stays "
        "until it is deleted.\n\n"
        "**Whose.** With credentials, their user's: `user_id` may then be left out, and naming somebody else "
        "is `403`. Where the server asks nobody for credentials, `user_id` says whose it is, in bodies and "
        "in queries. What is somebody else's is `404`, as if it were not there.\n\n"
        "Bodies are read as JSON whatever their `Content-Type`. Errors are `{success: false, error}` and "
        "what programs need beside it; unknown fields are errors."
    ),
)

_JOB = {"job_id": Param("As answered when it was ordered", {"type": "string", "maxLength": 64})}
_VIDEO = {"id": Param("Of the video, or of its job", {"type": "string", "maxLength": 64})}
_NO_JOB = "There is no such job, it is somebody else's, or its 24 hours are over"
_NO_VIDEO = "There is no such video, or it is somebody else's, or deleted"
_BAD_BODY = "The body is not valid JSON, or the image cannot be fetched or read"
_NOT_YOU = "`user_id` is not the user of the credentials"
_BAD_QUERY = "A parameter of the query is not valid"
_REFUSED = Reply(
    "A field is missing, unknown or not valid, and `fields` names it; or the model cannot make this. "
    "Nothing is charged. With an `Idempotency-Key`: it was used for another request",
    examples={"Not valid": examples.INVALID, "Not with this model": examples.UNSUPPORTED},
)
_POOR = Reply("Not enough DUST. Nothing is charged", examples={"Poor": examples.POOR})
_BUSY = "As many jobs of the user are under way as the configuration allows; again after `Retry-After`"
_ONE_VIDEO = {"video": examples.VIDEO}
_ETAG = {"ETag": "Names this status; send it back in `If-None-Match`"}
_ACCEPTED = {"Location": "Where to ask how far the job is"}

GENERATE = Doc(
    operation_id="generateVideo",
    summary="Order a video from words (10 DUST, about 240 seconds)",
    description="Answered at once. What the model cannot make is refused before anything is charged.",
    tag=CREDITS,
    body=bodies.GenerateVideo,
    body_examples={"All of it": examples.GENERATE, "The least": {"prompt": examples.PROMPT}},
    replies={
        202: Reply(
            "The job",
            model=replies.CreditsStarted,
            examples={"Queued": examples.STARTED},
            headers=_ACCEPTED,
        ),
        400: "The body is not valid JSON",
        402: _POOR,
        403: _NOT_YOU,
        422: _REFUSED,
        429: _BUSY,
    },
)

ANIMATE = Doc(
    operation_id="animateImage",
    summary="Order a video that begins with an image (8 DUST, about 180 seconds)",
    description="The image is fetched before anything is charged; the video has its shape.",
    tag=CREDITS,
    body=bodies.AnimateImage,
    body_examples={"An image": examples.ANIMATE},
    replies={
        202: Reply(
            "The job",
            model=replies.CreditsStarted,
            examples={"Queued": examples.ANIMATING},
            headers=_ACCEPTED,
        ),
        400: _BAD_BODY,
        402: _POOR,
        403: _NOT_YOU,
        422: _REFUSED,
        429: _BUSY,
    },
)

ACTIVE = Doc(
    operation_id="listActiveJobs",
    summary="List the user's jobs that are not over",
    description="Where nobody is asked who they are, and without `user_id`: everybody's.",
    tag=CREDITS,
    query=bodies.Asking,
    replies={
        200: Reply("The jobs", model=replies.CreditsActive, examples={"One": examples.ACTIVE}),
        403: _NOT_YOU,
        422: _BAD_QUERY,
    },
)

STATUS = Doc(
    operation_id="getCreditJobStatus",
    summary="Ask how far a job is",
    description=(
        "Every 5 to 10 seconds, or when `poll_after_ms` says; answered from memory. `queued` → `starting` → "
        "`processing` → `completed`, `failed` or `cancelled`, which are final. A job that the provider "
        "failed for a passing reason is ordered again, and is `queued` until it is."
    ),
    tag=CREDITS,
    path=_JOB,
    query=bodies.Asking,
    headers={"If-None-Match": "The `ETag` of the status that is known already"},
    replies={
        200: Reply(
            "The status",
            model=replies.CreditsStatus,
            examples={
                "Queued": examples.status("queued", 0, "Waiting in the queue", 240),
                "Starting": examples.status("starting", 10, "Starting video generation", 235),
                "Processing": examples.status("processing", 45, "Generating video", 85),
                "Completed": examples.status("completed", 100, "Completed", 0),
                "Failed": examples.status("failed", 30, "Failed", 0, examples.REFUSED),
                "Cancelled": examples.status("cancelled", 0, "Cancelled", 0, examples.BY_USER),
            },
            headers=_ETAG,
        ),
        304: Reply("Unchanged", headers=_ETAG),
        403: _NOT_YOU,
        404: _NO_JOB,
        422: _BAD_QUERY,
    },
)

RESULT = Doc(
    operation_id="getCreditJobResult",
    summary="Fetch what came of a job",
    description="A job that failed, or is not over, is no error of this request: the answer says so.",
    tag=CREDITS,
    path=_JOB,
    query=bodies.Asking,
    replies={
        200: (
            Reply("Done", model=replies.CreditsResult, examples={"Completed": examples.RESULT}),
            Reply("Not over", model=replies.CreditsNotReady, examples={"Processing": examples.NOT_READY}),
            Reply(
                "Over without a result; the DUST is back, unless it was cancelled too late",
                model=replies.CreditsFailed,
                examples={"Failed": examples.FAILED, "Cancelled": examples.CANCELLED},
            ),
        ),
        403: _NOT_YOU,
        404: _NO_JOB,
        422: _BAD_QUERY,
    },
)

CANCEL = Doc(
    operation_id="cancelCreditJob",
    summary="Cancel a job",
    description=(
        "A job of which nothing was sent to the provider costs nothing. One that is under way there is "
        "finished and billed: its video is kept among the videos if it comes, and the DUST comes back only "
        "if none does. `message` says which of both."
    ),
    tag=CREDITS,
    path=_JOB,
    query=bodies.Asking,
    replies={
        200: Reply(
            "Cancelled",
            model=replies.CreditsCancelled,
            examples={
                "In time": {
                    "success": True,
                    "job_id": examples.JOB_ID,
                    "status": "cancelled",
                    "message": "Job cancelled. Nothing had been sent to the provider: its price in DUST is "
                    "back on your account",
                },
            },
        ),
        403: _NOT_YOU,
        404: _NO_JOB,
        409: "There is nothing to cancel: it is over already",
        422: _BAD_QUERY,
    },
)

STATS = Doc(
    operation_id="getStats",
    summary="Read numbers about everybody's jobs",
    tag=CREDITS,
    replies={200: Reply("The numbers", model=replies.CreditsStats, examples={"Usual": examples.STATS})},
)

BALANCES = Doc(
    operation_id="getCredits",
    summary="Read what the user has",
    description="An account that was never used shows what it opens with.",
    tag=CREDITS,
    query=bodies.Asking,
    replies={
        200: Reply(
            "Both currencies",
            model=replies.CreditsBalances,
            examples={"One job waits": {"success": True, "balances": examples.BALANCES}},
        ),
        403: _NOT_YOU,
        422: _BAD_QUERY,
    },
)

LIST_VIDEOS = Doc(
    operation_id="listVideos",
    summary="List the user's videos, newest first",
    description="Where nobody is asked who they are, and without `user_id`: everybody's.",
    tag=CREDITS,
    query=bodies.Videos,
    replies={
        200: Reply(
            "One page",
            model=replies.CreditsVideos,
            examples={
                "One": {
                    "videos": [examples.VIDEO],
                    "pagination": {"total": 1, "limit": 20, "offset": 0, "has_more": False},
                }
            },
        ),
        403: _NOT_YOU,
        422: _BAD_QUERY,
    },
)

GET_VIDEO = Doc(
    operation_id="getVideo",
    summary="Read a video",
    tag=CREDITS,
    path=_VIDEO,
    query=bodies.Asking,
    replies={
        200: Reply("The video", model=replies.CreditsOneVideo, examples={"One": _ONE_VIDEO}),
        403: _NOT_YOU,
        404: _NO_VIDEO,
        422: _BAD_QUERY,
    },
)

CHANGE_VIDEO = Doc(
    operation_id="changeVideo",
    summary="Mark a video as a favourite, or no longer",
    tag=CREDITS,
    path=_VIDEO,
    body=bodies.ChangeVideo,
    body_examples={"A favourite": {"is_favorited": True}},
    replies={
        200: Reply(
            "As it is now",
            model=replies.CreditsVideoChanged,
            examples={"Marked": {"success": True, "video": {**examples.VIDEO, "is_favorited": True}}},
        ),
        400: "The body is not valid JSON",
        403: _NOT_YOU,
        404: _NO_VIDEO,
        422: "A field is missing, unknown or not valid",
    },
)

DELETE_VIDEO = Doc(
    operation_id="deleteVideo",
    summary="Delete a video for good, file and all",
    description="From then on its job has expired. Nothing is given back.",
    tag=CREDITS,
    path=_VIDEO,
    query=bodies.Asking,
    replies={
        200: Reply(
            "Deleted",
            model=replies.CreditsVideoDeleted,
            examples={"Deleted": {"success": True, "deleted_from_storage": True}},
        ),
        403: _NOT_YOU,
        404: _NO_VIDEO,
        422: _BAD_QUERY,
    },
)
