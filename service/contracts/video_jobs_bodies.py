"""What clients of the video jobs contract send: a form with images, or JSON; and what lists are asked for.

Fields arrive as the words of a form or as JSON's own numbers and booleans. Whatever is wrong with one
is said by one sentence (document 001, "Error Handling").
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
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
)
from pydantic.alias_generators import to_camel

from service.contracts.describing import FilePart
from service.contracts.forms import Upload, read_form
from service.contracts.problems import BadRequest, Problem
from service.contracts.reading import parse_json, read_body
from sessions.api_keys import NAME_LIMIT, is_name
from sessions.errors import InvalidInput, NotFound
from sessions.model import Frames, JobState

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

#: the states that each filter of the list stands for
FILTERS: Mapping[str, Collection[JobState]] = MappingProxyType(
    {
        "PENDING": {JobState.QUEUED},
        "RUNNING": {JobState.RUNNING},
        "SUCCEEDED": {JobState.SUCCEEDED, JobState.PARTIAL},
        "FAILED": {JobState.FAILED},
        "CANCELLED": {JobState.CANCELLED},
    }
)

#: jobs on one page of the list; who asks for more than the most gets the most
_PAGE, _LARGEST_PAGE = 50, 100

#: more digits than any number that is asked for
_DIGITS = 9

_DURATIONS = {"4": 4, "8": 8, "4.0": 4, "8.0": 8}
_DEFAULT_SECONDS: Literal[8] = 8
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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


def _unless_empty(given: Any) -> Any:
    return False if given is None or given == "" else given


def _prompt(text: str | None) -> str | None:
    if text is not None and "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text if text and text.strip() else None


def _user(text: str | None) -> str | None:
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
    duration_seconds: Annotated[Literal[4, 8], BeforeValidator(_seconds)] = _DEFAULT_SECONDS
    mock_mode: Annotated[bool | None, BeforeValidator(_yes_or_no)] = Field(
        default=None,
        description=(
            "`true`: a preview rendered on this server, and nothing is asked of the provider. Left out: what "
            "the server can do, which a `Warning` header tells"
        ),
    )
    generate_audio: Annotated[bool, BeforeValidator(_unless_empty)] = False
    user_id: Annotated[str | None, AfterValidator(_user)] = Field(
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


@dataclass(frozen=True, kw_only=True)
class Page:
    """What part of the list is asked for."""

    states: Collection[JobState]
    limit: int
    offset: int


def read_page(query: Mapping[str, str]) -> Page:
    """The query of the list; ``skip`` is another word for ``offset``. Raises ``InvalidInput``."""
    wanted = query.get("status_filter", "").upper()
    if wanted and wanted not in FILTERS:
        raise InvalidInput(
            f"status_filter must be one of {', '.join(FILTERS)}", details={"field": "status_filter"}
        )
    return Page(
        states=FILTERS[wanted] if wanted else frozenset(JobState),
        limit=min(_whole(query, "limit", _PAGE), _LARGEST_PAGE),
        offset=_whole(query, "offset" if "offset" in query else "skip", 0),
    )


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise InvalidInput(
            f"{name} must be a whole number of at most {_DIGITS} digits", details={"field": name}
        )
    return int(text)


def asking_for(query: Mapping[str, str]) -> str | None:
    """For whom a client asks where nobody has to show who they are. Raises ``InvalidInput``."""
    try:
        return _user(query.get("user_id"))
    except ValueError as error:
        raise InvalidInput(f"user_id {error}", details={"field": "user_id"}) from None


def job_id_of(request: web.Request) -> str:
    """The id in the path. Raises ``NotFound`` for what is no id at all."""
    job_id = request.match_info["jobId"].lower()
    if not _UUID.fullmatch(job_id):
        raise NotFound("Job not found")
    return job_id
