"""Request bodies and queries of the credit-jobs contract. Unknown fields and wrong types are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from service.addresses import public_web_address
from service.providers.catalogue import Wish
from sessions.api_keys import NAME_LIMIT, is_name
from sessions.model import Frames

Duration = Literal["short", "medium", "long"]
Resolution = Literal["sd_480p", "hd_720p", "hd_1080p", "4k_2160p"]
AspectRatio = Literal["16:9", "9:16", "1:1", "4:3", "3:4"]
GenerationType = Literal["text_to_video", "image_to_video"]

#: length of a video, in seconds
SECONDS: dict[Duration, float] = {"short": 5.0, "medium": 10.0, "long": 15.0}

#: what the catalogue calls the resolutions
RESOLUTIONS: dict[Resolution, str] = {
    "sd_480p": "480p",
    "hd_720p": "720p",
    "hd_1080p": "1080p",
    "4k_2160p": "2160p",
}

#: most videos on one page
LARGEST_PAGE = 100

#: what an image becomes where nobody says it
_JUST_MOVE = "The picture comes to life with gentle, natural movement."

_STILL_CAMERA = "The camera is fixed and does not move."


def _printable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"must be 1 to {NAME_LIMIT} printable characters")
    return text


Prompt = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000),
    AfterValidator(_printable),
    Field(json_schema_extra={"pattern": r"\S"}),
]
UserId = Annotated[
    str,
    AfterValidator(_name),
    Field(
        description="The user for whom it is asked. Only needed where nobody has to show who they are; "
        "with credentials it is their user's, or left out",
        json_schema_extra={"minLength": 1, "maxLength": NAME_LIMIT},
    ),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ReferencePerson(_Body):
    """Somebody whom the video is about; kept with it and echoed."""

    person_id: Annotated[str, AfterValidator(_name)]
    relationship: Annotated[str, AfterValidator(_name)] | None = None


class _NewVideo(_Body):
    user_id: UserId | None = None
    duration: Duration = Field(default="short", description="`short` 5, `medium` 10, `long` 15 seconds")
    resolution: Resolution | None = Field(default=None, description="Unset: the model's own")
    reference_person: ReferencePerson | None = Field(
        default=None, description="Who the video is about; kept with it and echoed"
    )
    camera_fixed: bool = Field(default=False, description="The camera does not move")

    def words(self) -> dict[str, Any]:
        """What was asked for, to be echoed; whose it is stands with the job."""
        given = self.model_dump(mode="json", exclude={"user_id"})
        return {name: value for name, value in given.items() if value is not None}

    def _wish(self, prompt: str, **more: Any) -> Wish:
        return Wish(
            prompt=f"{prompt}\n{_STILL_CAMERA}" if self.camera_fixed else prompt,
            seconds=SECONDS[self.duration],
            resolution=self.resolution and RESOLUTIONS[self.resolution],
            **more,
        )


class GenerateVideo(_NewVideo):
    """``POST /videos/generate``: a video from words."""

    prompt: Prompt = Field(description="What is to be seen")
    aspect_ratio: AspectRatio | None = Field(default=None, description="Unset: the model's own")

    def wish(self) -> Wish:
        return self._wish(self.prompt, aspect_ratio=self.aspect_ratio)


class AnimateImage(_NewVideo):
    """``POST /videos/animate``: a video that begins with an image."""

    image_url: Annotated[str, StringConstraints(max_length=2000), AfterValidator(public_web_address)] = Field(
        description="Where the image is: a public http or https address",
        json_schema_extra={"format": "uri", "pattern": "^https?://"},
    )
    prompt: Prompt | None = Field(default=None, description="What happens in it; unset: it moves gently")

    def words(self) -> dict[str, Any]:
        return {**super().words(), "prompt": self.prompt or _JUST_MOVE}

    def wish(self) -> Wish:
        return self._wish(self.prompt or _JUST_MOVE, frames=Frames(first=self.image_url))


class ChangeVideo(_Body):
    """``PUT /videos/{id}``."""

    user_id: UserId | None = None
    is_favorited: bool


class Asking(BaseModel):
    """For whom something is asked."""

    user_id: UserId | None = None


class Videos(Asking):
    """Which videos are listed."""

    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE, description="How many at most")] = 20
    offset: Annotated[int, Field(ge=0, le=10**9, description="How many to leave out first")] = 0
    favorites_only: Annotated[bool, Field(description="Only those marked as favourites")] = False
    generation_type: Annotated[GenerationType | None, Field(description="Only those made this way")] = None

    @property
    def from_image(self) -> bool | None:
        return None if self.generation_type is None else self.generation_type == "image_to_video"
