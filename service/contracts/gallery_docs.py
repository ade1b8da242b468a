"""What the gallery contract says of itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, WithJsonSchema

from service.contracts import gallery_bodies as bodies
from service.contracts import gallery_replies as replies
from service.contracts.describing import JSON, MULTIPART, URLENCODED, Doc, Reply, Tag

VIDEOS = Tag(
    name="Gallery",
    description=(
        "One video from an image, from a prompt or from both. Order it, poll its status every 3 seconds "
        "until `SUCCEEDED` or `FAILED`, and find it in the gallery. Errors of this contract are "
        "`{success: false, error, status}`; `status` repeats the HTTP status."
    ),
)

#: an id in an address; an empty one is none
_Uuid = Annotated[
    str | None, WithJsonSchema({"anyOf": [{"type": "string", "format": "uuid"}, {"const": ""}]})
]


class AskedVideo(BaseModel):
    """``bodies.WantedVideo`` in an address, where what is no UUID is an error."""

    video_id: Annotated[_Uuid, Field(alias="videoId", description="As answered to the order")] = None
    task_id: Annotated[
        _Uuid, Field(alias="taskId", description="As answered to the order; still good after a retry")
    ] = None


_VIDEO_ID = "8b3c2f1f-00d2-46fb-bfa6-35112c6d7b12"
_OTHER_ID = "5d0c9a52-8f3e-4b1a-9c77-0b6f5a3d2e11"
_TASK_ID = "31ff68a9-757e-4481-a858-eedec61598d8"
_VIDEO_URL = "https://video.example.com/outputs/8b3c2f1f_clip_5f0e7c1a9b3d.mp4"
_IDS = {"videoId": _VIDEO_ID, "taskId": _TASK_ID}
_PROCESSING = {
    "success": True,
    "status": "PROCESSING",
    "videoUrl": None,
    "progress": 25,
    "errorMessage": None,
}
_SUCCEEDED = {**_PROCESSING, "status": "SUCCEEDED", "videoUrl": _VIDEO_URL, "progress": 100}
_FAILED = {**_PROCESSING, "status": "FAILED", "progress": 30, "errorMessage": "The provider failed the task"}
_NOT_FOUND = {"success": False, "error": "Video record not found", "status": 404}

GENERATE = Doc(
    operation_id="generateGalleryVideo",
    summary="Order a video from an image, a prompt, or both",
    description=(
        "Give `imageUrl`, or the image itself as `imageFile` in a multipart form, or `prompt`, or an image "
        "and a prompt. Answered at once."
    ),
    tag=VIDEOS,
    body=bodies.NewVideo,
    body_media=(JSON, MULTIPART, URLENCODED),
    body_examples={
        "An image comes to life": {
            "imageUrl": "https://example.com/image.jpg",
            "prompt": "animate",
            "duration": 5,
        },
        "From text": {"prompt": "A lamp wakes up and yawns", "duration": 5, "aspectRatio": "9:16"},
    },
    replies={
        200: Reply(
            "On record",
            model=replies.VideoStarted,
            examples={"Started": {"success": True, **_IDS, "message": "Video generation started"}},
        ),
        400: (
            "Neither an image nor a prompt is given, the image cannot be had, or the model cannot do what is "
            "asked; the sentence says which"
        ),
        402: "There is not enough credit; only where videos of this contract cost something",
        413: "The image is too large",
        415: "The body comes as something else",
        429: Reply(
            "Asked too often, or too many videos are under way",
            headers={"Retry-After": "Seconds until it makes sense to ask again"},
        ),
    },
)

STATUS = Doc(
    operation_id="getVideoStatus",
    summary="Ask how far a video is",
    description=(
        "Give `videoId`, `taskId`, or both. `videoId` may also be the id of a job of another contract, or of "
        "one of its scenes. A poll costs nothing; with the `ETag` in `If-None-Match` an unchanged status is "
        "304."
    ),
    tag=VIDEOS,
    query=AskedVideo,
    headers={"If-None-Match": "The `ETag` of the status that is known already"},
    replies={
        200: Reply(
            "The status as it is now",
            model=replies.VideoStatus,
            examples={"Processing": _PROCESSING, "Completed": _SUCCEEDED, "Failed": _FAILED},
            headers={"ETag": "Names this status"},
        ),
        304: Reply("Nothing has changed", headers={"ETag": "Names the status that is known"}),
        400: "Give videoId or taskId; or one of them is not a UUID, or is there twice",
        404: Reply(
            "There is no such video, it is somebody else's or was removed, or the ids do not belong together",
            examples={"Not found": _NOT_FOUND},
        ),
    },
)

STATUSES = Doc(
    operation_id="getVideoStatuses",
    summary="Ask how far many videos are, in one request",
    description=f"Up to {bodies.BATCH}. What is wrong with one of them is said in its place.",
    tag=VIDEOS,
    body=bodies.WantedVideos,
    body_examples={"Two": {"videos": [_IDS, {"videoId": _OTHER_ID}]}},
    replies={
        200: Reply(
            "One answer for each, in the same order",
            model=replies.VideoStatuses,
            examples={
                "Two": {
                    "success": True,
                    "videos": [
                        {**_IDS, **_PROCESSING},
                        {"videoId": _OTHER_ID, "taskId": None, **_NOT_FOUND},
                    ],
                }
            },
        ),
        400: "The body is not valid",
        415: "The body does not come as `application/json`",
    },
)

GALLERY = Doc(
    operation_id="listGallery",
    summary="The gallery: all of one's own videos, finished or not",
    description=(
        "What the record stores `generated_videos` (from an image) and `created_videos` (from text) hold, "
        "merged, newest first. Videos of the other contracts are in it too."
    ),
    tag=VIDEOS,
    query=bodies.GalleryPage,
    replies={
        200: Reply(
            "One page",
            model=replies.GalleryList,
            examples={
                "One video": {
                    "success": True,
                    "videos": [
                        {
                            "id": _VIDEO_ID,
                            "source": "generated_videos",
                            "userId": "6a1f3f0e-5b0b-4a39-9a51-1f1c4bb1a0aa",
                            "taskId": _TASK_ID,
                            "prompt": "animate",
                            "status": "completed",
                            "videoUrl": _VIDEO_URL,
                            "durationSeconds": None,
                            "metadata": {"model": "klingai:kling-video@3-standard", "progress": 100},
                            "createdAt": "2026-03-01T12:00:00.000+00:00",
                            "updatedAt": "2026-03-01T12:02:31.000+00:00",
                        }
                    ],
                    "total": 1,
                    "limit": 50,
                    "offset": 0,
                }
            },
        ),
        400: "limit, offset or status is not valid",
    },
)
