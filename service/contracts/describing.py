"""What a route says of itself, for people and for programs that write clients.

The same pydantic models that check a request describe it. A route with a form and files::

    class NewClip(BaseModel):
        prompt: str | None = Field(default=None, description="What is to be seen")
        initialImage: Image | None = Field(default=None, description="What the video begins with")
        referenceImages: list[Image] = Field(default=[], max_length=3)

    Image = Annotated[bytes, FilePart("image/png", "image/jpeg", "image/webp")]

    Route(
        method="POST", path="/clips", handler=self.create, creates=True, contract=CONTRACT, access=...,
        doc=Doc(
            operation_id="createClip",
            summary="Order a clip",
            tag=CLIPS,
            body=NewClip,
            body_media=(MULTIPART, URLENCODED, JSON),  # files are left out where there can be none
            body_examples={"Text only": {"prompt": "A lamp at dusk"}},
            replies={
                202: Reply("Accepted", model=Clip, examples={"Queued": {...}}),
                400: "Neither prompt nor initialImage is given",  # in the error shape of CONTRACT
                402: Reply("Not enough credits", examples={"Poor": {"error": "..."}}),
            },
        ),
    )

Nothing here imports a contract, so every contract can import it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic_core import CoreSchema

JSON = "application/json"
MULTIPART = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"
EVENT_STREAM = "text/event-stream"

#: bodies whose fields are texts and files; any other is JSON, whatever it is called
FORMS = (MULTIPART, URLENCODED)

#: where ``FilePart`` leaves the media types for the generator, which moves them to ``encoding``
MEDIA_TYPES = "x-media-types"


@dataclass(frozen=True, kw_only=True)
class Tag:
    """A chapter of the documentation; the first route that carries it decides its place."""

    name: str
    description: str  #: Markdown


@dataclass(frozen=True)
class Param:
    """A parameter in the path or in a header."""

    description: str  #: Markdown
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})  #: JSON schema


@dataclass(frozen=True)
class Reply:
    """One answer. From status 400 on it has its contract's error shape, unless it names a model."""

    description: str  #: Markdown
    model: type[BaseModel] | None = field(default=None, kw_only=True)  #: None: see ``media``
    media: str = field(default=JSON, kw_only=True)  #: JSON without model and examples means no content
    examples: Mapping[str, Any] = field(default_factory=dict, kw_only=True)  #: name -> body
    headers: Mapping[str, str] = field(default_factory=dict, kw_only=True)  #: name -> what it says


@dataclass(frozen=True, kw_only=True)
class Doc:
    """What is to be known of a route."""

    operation_id: str  #: what generated clients call it; unique
    summary: str  #: half a sentence
    tag: Tag
    replies: Mapping[
        int, str | Reply | tuple[Reply, ...]
    ]  #: a text is a Reply of only that; several: any of them
    description: str = ""  #: Markdown: what the summary leaves open
    path: Mapping[str, str | Param] = field(
        default_factory=dict
    )  #: each parameter of the path; text: what it is
    query: type[BaseModel] | None = None  #: a field is a parameter
    headers: Mapping[str, str | Param] = field(default_factory=dict)  #: of the request, where they matter
    body: type[BaseModel] | None = None
    body_media: tuple[str, ...] = (JSON,)  #: the body may come as any of these
    body_required: bool = True
    body_examples: Mapping[str, Any] = field(default_factory=dict)  #: name -> body

    def answers(self) -> dict[int, tuple[Reply, ...]]:
        """The replies, each status with all of its shapes."""
        return {status: _shapes(said) for status, said in sorted(self.replies.items())}


@dataclass(frozen=True, init=False)
class FilePart:
    """Marks ``bytes`` as a file of a multipart form: ``Annotated[bytes, FilePart("image/png")]``."""

    media: tuple[str, ...]  #: what the file may be

    def __init__(self, *media: str) -> None:
        object.__setattr__(self, "media", media or ("application/octet-stream",))

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "format": "binary", MEDIA_TYPES: list(self.media)}


def examples_of(examples: Mapping[str, Any]) -> dict[str, Any]:
    """The field ``examples`` of the document; nothing where there are none."""
    return {"examples": {name: {"value": value} for name, value in examples.items()}} if examples else {}


def _shapes(said: str | Reply | tuple[Reply, ...]) -> tuple[Reply, ...]:
    if isinstance(said, str):
        return (Reply(said),)
    return (said,) if isinstance(said, Reply) else said
