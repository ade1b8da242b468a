"""What comes in at the gallery contract (document 000). Unknown fields and wrong types are refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from service.contracts.describing import FilePart
from service.contracts.forms import Upload
from service.providers.catalogue import Wish
from sessions.errors import InvalidInput
from sessions.model import Frames

#: the fields that are files, and how many each may have
FILES = {"imageFile": 1, "image": 1}

#: most videos in one question
BATCH = 100

#: what is asked of the model where an image comes without a prompt; the document's own word
_ANIMATE = "animate"

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def _printable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text


def _blank_is_none(given: Any) -> Any:
    """Forms send empty texts for what was left out."""
    return None if isinstance(given, str) and not given.strip() else given


def _no_truth(given: Any) -> Any:
    """To Python, true is the number 1."""
    if isinstance(given, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - the error that pydantic collects
    return given


def _up_to(length: int) -> StringConstraints:
    return StringConstraints(strip_whitespace=True, max_length=length)


# A limit says what it counts only where it stands next to its type, before any validator.
_PRINTABLE = AfterValidator(_printable)
_Word = Annotated[Annotated[str, _up_to(128), _PRINTABLE] | None, BeforeValidator(_blank_is_none)]
_Url = Annotated[Annotated[str, _up_to(2000), _PRINTABLE] | None, BeforeValidator(_blank_is_none)]
_Prompt = Annotated[Annotated[str, _up_to(10_000), _PRINTABLE] | None, BeforeValidator(_blank_is_none)]
_Seconds = Annotated[
    Annotated[float, Field(gt=0, le=600, allow_inf_nan=False), BeforeValidator(_no_truth)] | None,
    BeforeValidator(_blank_is_none),
]
_Image = Annotated[bytes, FilePart("image/jpeg", "image/png", "image/webp")] | None
_Id = Annotated[str, StringConstraints(max_length=64)] | None


class NewVideo(BaseModel):
    """``POST /api/video/generate``: a video from an image, from a prompt, or from both."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "anyOf": [{"required": [name]} for name in ("imageUrl", "prompt", "imageFile", "image")]
        },
    )

    image_url: _Url = Field(
        default=None, alias="imageUrl", description="Public address of the image that the video begins with"
    )
    prompt: _Prompt = Field(
        default=None, description="What is to be seen; may be left out where there is an image"
    )
    duration: _Seconds = Field(default=None, description="Seconds; without it the model decides")
    model: _Word = Field(default=None, description="A model of the catalogue, or one of its other names")
    aspect_ratio: _Word = Field(default=None, alias="aspectRatio", description="Such as `16:9`")
    resolution: _Word = Field(default=None, description="Such as `720p`")
    image_file: _Image = Field(
        default=None, alias="imageFile", description="The image itself, in place of its address"
    )
    image: _Image = Field(default=None, description="Another name for `imageFile`")

    def wish(self, first: str | None) -> Wish:
        """As an order; ``first`` is what the video begins with."""
        return Wish(
            prompt=self.prompt or _ANIMATE,
            model=self.model,
            seconds=self.duration,
            aspect_ratio=self.aspect_ratio,
            resolution=self.resolution,
            frames=Frames(first=first),
        )

    def asked(self) -> dict[str, Any]:
        """The request's own words."""
        return self.model_dump(by_alias=True, exclude_none=True)


def image_of(body: NewVideo, uploads: Sequence[Upload]) -> str | bytes | None:
    """The image of an order: its address or itself. Raises ``InvalidInput``."""
    images: list[str | bytes] = [
        *([body.image_url] if body.image_url else []),
        *(upload.data for upload in uploads),
    ]
    if len(images) > 1:
        raise InvalidInput("Give one image only: imageUrl or imageFile", details={"field": "imageUrl"})
    if not images and body.prompt is None:
        raise InvalidInput("Give imageUrl, imageFile or prompt", details={"field": "prompt"})
    return images[0] if images else None


class WantedVideo(BaseModel):
    """Which video: one of both suffices; if both are given, they must belong together."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    video_id: _Id = Field(default=None, alias="videoId", description="UUID, as answered to the order")
    task_id: _Id = Field(
        default=None, alias="taskId", description="UUID, as answered to the order; still good after a retry"
    )


class WantedVideos(BaseModel):
    """``POST /api/video/status``: many videos in one question."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    videos: list[WantedVideo] = Field(min_length=1, max_length=BATCH)


class GalleryPage(BaseModel):
    """Which part of the gallery."""

    limit: int = Field(default=50, ge=0, le=200, description="How many at most")
    offset: int = Field(default=0, ge=0, le=10**9, description="How many to leave out first")
    status: Annotated[
        Literal["generating", "completed", "failed"] | None,
        BeforeValidator(_blank_is_none),
        WithJsonSchema({"type": "string", "enum": ["generating", "completed", "failed", ""]}),
    ] = Field(default=None, description="Only those; empty: all")


def ids_of(video_id: str | None, task_id: str | None) -> tuple[str | None, str | None]:
    """Both ids as they are on record. Raises ``InvalidInput``."""
    ids = _uuid("videoId", video_id), _uuid("taskId", task_id)
    if ids == (None, None):
        raise InvalidInput("Give videoId or taskId", details={"field": "videoId"})
    return ids


def _uuid(name: str, given: str | None) -> str | None:
    if not given:
        return None
    if not _UUID.fullmatch(given):
        raise InvalidInput(f"{name} must be a UUID, as answered to the order", details={"field": name})
    return given.lower()
