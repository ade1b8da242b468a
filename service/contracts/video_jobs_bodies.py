"""What clients of the video jobs contract order with: a form with images, or JSON.

Fields arrive as the words of a form or as JSON's own numbers and booleans. Whatever is wrong with one
is said by one sentence (document 001, "Error Handling").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from types import MappingProxyType
from typing import Annotated, Any, Literal

from aiohttp import hdrs, web
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from service.contracts.describing import FilePart
from service.contracts.forms import Upload, read_form
from service.contracts.problems import BadRequest, Problem
from service.contracts.reading import parse_json, read_body
from sessions.api_keys import NAME_LIMIT, is_name
from sessions.errors import InvalidInput
from sessions.model import Frames

Resolution = Literal["720p", "1080p"]
AspectRatio = Literal["16:9", "9:16"]

#: how many files each field may have
FILES: Mapping[str, int] = MappingProxyType({"initialImage": 1, "endFrame": 1, "referenceImages": 3})

#: said of whatever is wrong with the field; the first is document 001's own
SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        "resolution": "Resolution must be '720p' or '1080p'",
        "aspectRatio": "Aspect ratio must be '16:9' or '9:16'",
        "durationSeconds": "Duration must be 4 or 8 seconds",
        "model": "model is required",
        "mockMode": "mockMode must be 'true' or 'false'",
        "generateAudio": "generateAudio must be 'true' or 'false'",
    }
)

_DURATIONS = {"4": 4, "8": 8, "4.0": 4, "8.0": 8}
_DEFAULT_SECONDS: Literal[8] = 8


def _or_null(schema: dict[str, Any]) -> WithJsonSchema:
    """For the documentation: JSON may say with null that nothing is said."""
    return WithJsonSchema({"anyOf": [schema, {"type": "null"}]})


def _seconds(given: Any) -> Any:
    """As a whole number; an empty field of a form is none."""
    if given is None or given == "":
        return _DEFAULT_SECONDS
    return given if isinstance(given, bool) else _DURATIONS.get(str(given).strip(), given)


def _yes_or_no(given: Any) -> Any:
    """``mockMode`` is a word, whoever writes it; JSON may say it by itself."""
    words = {"true": True, "false": False}
    if given is None or isinstance(given, bool):
        return given
    if isinstance(given, str) and given.lower() in words:
        return words[given.lower()]
    raise ValueError(SENTENCES["mockMode"])


def _sound(given: Any) -> Any:
    """A checkbox of a form says "on", or nothing; a number says neither yes nor no."""
    if isinstance(given, int | float) and not isinstance(given, bool):
        raise ValueError(SENTENCES["generateAudio"])  # noqa: TRY004 - the error that pydantic collects
    return False if given is None or given == "" else given


def _prompt(text: str | None) -> str | None:
    if text is not None and "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text if text and text.strip() else None


def user_named(text: str | None) -> str | None:
    """The user for whom a client says that it asks. Raises ``ValueError`` with what is wrong."""
    if text and not is_name(text):
        raise ValueError(f"must be 1 to {NAME_LIMIT} printable characters")
    return text or None


class NewVideoJob(BaseModel):
    """``POST /api/v1/video-jobs`` without its files."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    prompt: Annotated[str | None, AfterValidator(_prompt)] = Field(
        default=None, description="What is to be seen; may be left out with `initialImage`"
    )
    model: Annotated[str, StringConstraints(min_length=1)] = Field(
        description="A model of the catalogue, by its name or by another one that it goes by"
    )
    resolution: Resolution
    aspect_ratio: AspectRatio
    duration_seconds: Annotated[
        Literal[4, 8], BeforeValidator(_seconds), _or_null({"type": "integer", "enum": [4, 8]})
    ] = _DEFAULT_SECONDS
    mock_mode: Annotated[bool | None, BeforeValidator(_yes_or_no)] = Field(
        default=None,
        description=(
            "`true`: a preview rendered on this server, and nothing is asked of the provider. Left out: what "
            "the server can do, which a `Warning` header tells"
        ),
    )
    generate_audio: Annotated[bool, BeforeValidator(_sound), _or_null({"type": "boolean"})] = False
    user_id: Annotated[str | None, AfterValidator(user_named)] = Field(
        default=None,
        validation_alias=AliasChoices("userId", "user_id"),
        description="For whom it is asked; counts only where nobody has to show who they are",
    )


Image = Annotated[bytes, FilePart("image/png", "image/jpeg", "image/webp")]


class VideoJobForm(NewVideoJob):
    """A video to be made: from words, from images, or from both."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["prompt"]}, {"required": ["initialImage"]}]}
    )

    initial_image: Image | None = Field(default=None, description="What the video begins with")
    end_frame: Image | None = Field(default=None, description="What it ends with; needs `initialImage`")
    reference_images: list[Image] | None = Field(
        default=None, max_length=FILES["referenceImages"], description="Who and what is to be seen in it"
    )


async def read_new_job(request: web.Request) -> tuple[NewVideoJob, tuple[Upload, ...]]:
    """The fields and the images of an order. Raises ``BadRequest`` or ``InvalidInput``."""
    try:
        form, uploads = await _read(request)
    except BadRequest as refused:
        raise BadRequest(_worded(refused.problem)) from None
    if form.prompt is None and all(upload.field != "initialImage" for upload in uploads):
        raise InvalidInput("Either prompt or initialImage is required", details={"field": "prompt"})
    return form, uploads


async def _read(request: web.Request) -> tuple[NewVideoJob, tuple[Upload, ...]]:
    # Document 001's first example names a form, without its boundary, and shows JSON.
    announced = request.headers.get(hdrs.CONTENT_TYPE, "").lower()
    if request.content_type == "multipart/form-data" and "boundary" not in announced:
        body = await read_body(request)
        if body.lstrip().startswith(b"{") and len(body) <= request.client_max_size:
            return parse_json(body, NewVideoJob, HTTPStatus.BAD_REQUEST), ()
    return await read_form(request, NewVideoJob, files=FILES, invalid_status=HTTPStatus.BAD_REQUEST)


def _worded(problem: Problem) -> Problem:
    """The sentence for the first field that is not as it should be."""
    fields = (problem.detail or {}).get("fields")
    sentence = SENTENCES.get(fields[0]["field"]) if fields else None
    return problem if sentence is None else replace(problem, message=sentence)


def frames_of(uploads: Sequence[Upload], names: Sequence[str]) -> Frames:
    """The images by their part in the video; ``names`` are theirs, in the same order."""
    named = list(zip(uploads, names, strict=True))

    def one(field: str) -> str | None:
        return next((name for upload, name in named if upload.field == field), None)

    references = tuple(name for upload, name in named if upload.field == "referenceImages")
    return Frames(first=one("initialImage"), last=one("endFrame"), references=references)
