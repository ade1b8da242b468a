"""Request bodies of the scenes contract. Unknown fields and wrong types are refused."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from service.addresses import public_web_address
from sessions.model import Brief, Lane, Scenario, SceneDescription


def _printable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text


def _blank_is_none(given: Any) -> Any:
    """Forms send empty texts for what was left out."""
    return None if isinstance(given, str) and not given.strip() else given


#: says in JSON Schema that blanks alone are no text
_NOT_BLANK = Field(json_schema_extra={"pattern": r"\S"})

Line = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=500),
    AfterValidator(_printable),
    _NOT_BLANK,
]
OptionalLine = Annotated[
    Annotated[str, StringConstraints(strip_whitespace=True, max_length=500), AfterValidator(_printable)]
    | None,
    BeforeValidator(_blank_is_none),
]
Paragraph = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=10_000), AfterValidator(_printable)
]
Wish = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=2000),
    AfterValidator(_printable),
    _NOT_BLANK,
]
Url = Annotated[str, StringConstraints(max_length=2000), AfterValidator(public_web_address)]
OptionalUrl = Annotated[Url | None, BeforeValidator(_blank_is_none)]
Seconds = Annotated[float, Field(gt=0, le=600, allow_inf_nan=False)]

#: a scenario as a text: whether there is such a one is for the handlers to say
ScenarioName = Annotated[str, Field(json_schema_extra={"enum": [it.value for it in Scenario]})]
ShortScenarioName = Annotated[ScenarioName, StringConstraints(max_length=64)]


def _given(name: str, kind: str) -> dict[str, Any]:
    """JSON Schema for an object that has this field, and not as null."""
    return {"required": [name], "properties": {name: {"type": kind}}}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SceneEdit(_Body):
    """``PUT .../scenes/{scenario}``: what is given changes, the rest stays."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    description: Paragraph = ""
    visual_description: Paragraph | None = None
    camera_work: Paragraph | None = None
    lighting: Paragraph | None = None
    audio_design: Paragraph | None = None
    background_music: Paragraph | None = None
    sound_effects: Paragraph | None = None
    dialog_narration: Paragraph | None = None
    duration: Seconds | None = None
    approved: bool = False

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("give at least one field to change")
        return self

    def changes(self) -> dict[str, Any]:
        """Only the fields that were sent."""
        return {name: getattr(self, name) for name in SceneEdit.model_fields if name in self.model_fields_set}


class NamedScene(SceneEdit):
    """A scene description that says which scenario it is for."""

    scenario: Annotated[Scenario, Field(strict=False)]

    def noun(self, **defaults: Any) -> SceneDescription:
        """The description, with ``defaults`` for what was not sent."""
        return SceneDescription(scenario=self.scenario, **{**defaults, **self.changes()})


def _as_list(given: Any) -> Any:
    """``{"hook": {...} or "text"}`` as ``[{"scenario": "hook", ...}]``; anything else unchanged."""
    if not isinstance(given, dict):
        return given
    return [
        {**(item if isinstance(item, dict) else {"description": item}), "scenario": name}
        for name, item in given.items()
    ]


def _as_scene(given: Any) -> Any:
    """A text is a complete scene."""
    return {"description": given} if isinstance(given, str) else given


def _each_once(scenes: list[NamedScene]) -> list[NamedScene]:
    if len({item.scenario for item in scenes}) < len(scenes):
        raise ValueError("names a scenario twice")
    return scenes


#: a list whose items name their scenario, or an object keyed by scenario
Scenes = Annotated[
    list[NamedScene],
    BeforeValidator(_as_list),
    Field(min_length=1, max_length=len(Scenario)),
    AfterValidator(_each_once),
]
_SCENES = AliasChoices("scene_descriptions", "scenes", "descriptions")


class NewSession(_Body):
    """``POST /api/session/create``: the brief, and descriptions if they are written already."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [_given("product", "string"), _given("scene_descriptions", "array")]}
    )

    scene_descriptions: Scenes | None = Field(default=None, validation_alias=_SCENES)
    product: Line | None = None
    audience: OptionalLine = None
    tone: OptionalLine = None
    offer: OptionalLine = None
    language: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] = "en"
    aspect_ratio: Annotated[str, StringConstraints(pattern=r"^\d{1,2}:\d{1,2}$")] | None = None
    seconds_per_scene: Seconds | None = None
    model: Annotated[Line, StringConstraints(max_length=128)] | None = None
    product_image_url: OptionalUrl = Field(
        default=None, validation_alias=AliasChoices("product_image_url", "product_image")
    )
    logo_url: OptionalUrl = Field(default=None, validation_alias=AliasChoices("logo_url", "logo"))

    @model_validator(mode="after")
    def _something_to_film(self) -> Self:
        if self.product is None and not self.scene_descriptions:
            raise ValueError("product is needed, unless scene_descriptions are given")
        return self

    def brief(self) -> Brief:
        return Brief(**{**self.model_dump(exclude={"scene_descriptions"}), "product": self.product or ""})

    def descriptions(self) -> list[SceneDescription]:
        return [item.noun() for item in self.scene_descriptions or ()]


class RepeatedScene(SceneEdit):
    """A scene description that may repeat which scenario it is for."""

    scenario: ShortScenarioName | None = None


class SessionReference(_Body):
    """Names a session."""

    session_id: Annotated[str, StringConstraints(max_length=64)]


class RewriteDescription(SessionReference):
    """``POST /api/scenes/regenerate-description``."""

    scenario: ShortScenarioName
    instructions: Wish | None = None


class StartGeneration(_Body):
    """``POST /api/videos/generate-scenes``: a session, or finished descriptions in its place."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [_given("session_id", "string"), _given("scene_descriptions", "array")]}
    )

    scene_descriptions: Scenes | None = Field(default=None, validation_alias=_SCENES)
    session_id: Annotated[str, StringConstraints(max_length=64)] | None = None
    lane: Annotated[Lane, Field(strict=False)] = Lane.INTERACTIVE

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.session_id is None) is (self.scene_descriptions is None):
            raise ValueError("give either session_id or scene_descriptions")
        return self

    def descriptions(self) -> list[SceneDescription]:
        """Sent for immediate generation, which is an approval unless it says otherwise."""
        return [item.noun(approved=True) for item in self.scene_descriptions or ()]


class Nothing(_Body):
    """``{}``: the address says it all."""


class CancelScenes(_Body):
    """``POST /api/videos/cancel/{job_id}``: some scenarios, or without a body all of them."""

    scenarios: Annotated[list[ScenarioName], Field(min_length=1, max_length=len(Scenario))] | None = Field(
        default=None, validation_alias=AliasChoices("scenarios", "scenario")
    )

    @field_validator("scenarios", mode="before")
    @classmethod
    def _one_is_a_list(cls, given: Any) -> Any:
        return [given] if isinstance(given, str) else given


class RegenerateScene(_Body):
    """``POST /api/videos/regenerate-scene``: a session's scene, or a finished description in its place."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [_given("session_id", "string"), _given("scene_description", "object")]}
    )

    scenario: ShortScenarioName
    session_id: Annotated[str, StringConstraints(max_length=64)] | None = None
    scene_description: Annotated[RepeatedScene | None, BeforeValidator(_as_scene)] = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.scene_description and self.scene_description.scenario not in (None, self.scenario):
            raise ValueError("scene_description.scenario must be the same as scenario")
        if (self.session_id is None) is (self.scene_description is None):
            raise ValueError("give either session_id or scene_description")
        return self

    def description(self, scenario: Scenario) -> SceneDescription:
        assert self.scene_description is not None
        return SceneDescription(scenario=scenario, **{"approved": True, **self.scene_description.changes()})
