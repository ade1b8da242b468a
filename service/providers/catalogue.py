"""What each model can do, checked before anything is sent or charged."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from service.sections import ModelSettings, ProviderName
from service.settings import Settings
from sessions.errors import UnsupportedByModel
from sessions.model import NO_FRAMES, Brief, Frames, SceneDescription

#: Runware's documented minimum
_SHORTEST_PROMPT = 2


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a video shall be like; unset fields are decided by the model's defaults."""

    prompt: str
    model: str | None = None  #: a key of the catalogue, or an alias
    seconds: float | None = None
    aspect_ratio: str | None = None  #: such as ``16:9``
    resolution: str | None = None  #: such as ``1080p``
    frames: Frames = NO_FRAMES
    sound: bool = True


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A wish in terms that its model accepts."""

    provider: ProviderName
    prompt: str
    model: str
    seconds: float
    width: int
    height: int
    frames: Frames
    sound: bool


class Catalogue:
    """The models, and which of them make videos at present."""

    def __init__(self, settings: Settings) -> None:
        self.provider: ProviderName = settings.active_provider
        self._defaults: Mapping[ProviderName, str] = {
            "local": settings.local.default_model,
            "runware": settings.runware.default_model,
        }
        self._models: Mapping[str, ModelSettings] = settings.models

    def model(self, name: str | None, provider: ProviderName | None = None) -> tuple[str, ModelSettings]:
        """The named model of the provider, or its default one."""
        provider = provider or self.provider
        name = name or self._defaults[provider]
        for key, model in self._models.items():
            if model.provider == provider and (key == name or name in model.aliases):
                return key, model
        usable = sorted(key for key, model in self._models.items() if model.provider == provider)
        found = self._models.get(name)
        reason = "is not in the catalogue" if found is None else f"needs the provider {found.provider}"
        raise UnsupportedByModel(
            f"The model {name[:128]!r} {reason}; use one of: {', '.join(usable)}",
            details={"field": "model", "allowed": usable},
        )

    def settings_of(self, name: str, *, sound: bool) -> Mapping[str, Any]:
        """Parameters that the catalogue adds to every task of the model."""
        model = self._models.get(name)
        if model is None:
            return {}
        switch = model.sound_switch
        return _switched(model.settings, switch, on=sound) if switch else model.settings

    def check_brief(self, brief: Brief) -> None:
        """Raise ``UnsupportedByModel`` unless the brief's model can do what the brief asks."""
        name, model = self.model(brief.model)
        _seconds(name, model, brief.seconds_per_scene, field="seconds_per_scene")
        _size(name, model, brief.aspect_ratio, None)
        _check_frames(name, model, Frames(first=brief.product_image_url), field="product_image_url")

    def shot(self, brief: Brief, description: SceneDescription) -> Shot:
        """The description as a shot. Raises ``UnsupportedByModel``, naming the field."""
        _, model = self.model(brief.model)
        wish = Wish(
            prompt=description.prompt(with_sound=model.audio),
            model=brief.model,
            seconds=brief.seconds_per_scene if description.duration is None else description.duration,
            aspect_ratio=brief.aspect_ratio,
            frames=Frames(first=brief.product_image_url),
        )
        fields = {
            "what": f"The {description.scenario} scene's description",
            "prompt": "description",
            "scenario": description.scenario.value,
            "seconds": "seconds_per_scene" if description.duration is None else "duration",
            "frames": "product_image_url",
        }
        return self.clip(wish, fields=fields)

    def clip(
        self,
        wish: Wish,
        provider: ProviderName | None = None,
        fields: Mapping[str, str] = MappingProxyType({}),
    ) -> Shot:
        """The wish as a shot. ``fields`` are the caller's names for its parts.

        Raises ``UnsupportedByModel``.
        """
        name, model = self.model(wish.model, provider)
        if not _SHORTEST_PROMPT <= len(wish.prompt) <= model.prompt_limit:
            scenario = {"scenario": fields["scenario"]} if "scenario" in fields else {}
            raise UnsupportedByModel(
                f"{fields.get('what', 'The prompt')} has {len(wish.prompt)} characters; "
                f"{model.label} takes {_SHORTEST_PROMPT} to {model.prompt_limit}",
                details={"field": fields.get("prompt", "prompt"), **scenario},
            )
        width, height = _size(name, model, wish.aspect_ratio, wish.resolution)
        _check_frames(name, model, wish.frames, field=fields.get("frames", "image"))
        return Shot(
            provider=model.provider,
            prompt=wish.prompt,
            model=name,
            seconds=_seconds(name, model, wish.seconds, field=fields.get("seconds", "duration")),
            width=width,
            height=height,
            frames=wish.frames,
            sound=wish.sound,
        )

    def sends_size(self, name: str, frames: Frames) -> bool:
        """Whether width and height go to the provider, or follow from the image."""
        return not (frames.first and name in self._models and self._models[name].image_sets_size)


def _switched(settings: Mapping[str, Any], path: str, *, on: bool) -> Mapping[str, Any]:
    """``settings`` with the switch at the dotted ``path`` set."""
    changed = copy.deepcopy(dict(settings))
    *way, last = path.split(".")
    place = changed
    for step in way:
        place = place.setdefault(step, {})
    place[last] = on
    return changed


def _seconds(name: str, model: ModelSettings, asked: float | None, *, field: str) -> float:
    seconds = model.default_seconds if asked is None else asked
    if not model.allows(seconds):
        raise UnsupportedByModel(
            f"{model.label} makes clips of {model.seconds_for_people}, not of {seconds:g}",
            details={"field": field, "model": name, "allowed": model.seconds_for_people},
        )
    return seconds


def _size(name: str, model: ModelSettings, ratio: str | None, resolution: str | None) -> tuple[int, int]:
    if resolution is not None and resolution not in model.resolutions:
        raise UnsupportedByModel(
            f"{model.label} does not make {resolution} videos; it makes {', '.join(model.resolutions)}",
            details={"field": "resolution", "model": name, "allowed": list(model.resolutions)},
        )
    sizes = model.sizes if resolution is None else model.resolutions[resolution]
    ratio = next(iter(sizes)) if ratio is None else ratio
    if ratio not in sizes:
        raise UnsupportedByModel(
            f"{model.label} does not make {ratio} videos; it makes {', '.join(sizes)}",
            details={"field": "aspect_ratio", "model": name, "allowed": list(sizes)},
        )
    return sizes[ratio]


def _check_frames(name: str, model: ModelSettings, frames: Frames, *, field: str) -> None:
    problem = None
    if frames.first and not model.images:
        problem = "does not take an image"
    elif frames.last and not model.last_image:
        problem = "does not take an end frame"
    elif frames.last and not frames.first:
        problem = "takes an end frame only together with a first one"
    elif len(frames.references) > model.reference_images:
        problem = f"takes {model.reference_images or 'no'} reference images"
    if problem:
        raise UnsupportedByModel(
            f"{model.label} {problem}; leave it out or choose another model",
            details={"field": field, "model": name},
        )
