"""What each model can do, checked before anything is sent or charged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.settings import ModelSettings, Settings
from sessions.errors import UnsupportedByModel
from sessions.model import Brief, SceneDescription


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One scene in terms that its model accepts."""

    prompt: str
    model: str
    seconds: float
    width: int
    height: int
    image_url: str | None


class Catalogue:
    """The models of the active provider."""

    def __init__(self, settings: Settings) -> None:
        self.provider = settings.active_provider
        self._default = settings.default_model
        self._models: Mapping[str, ModelSettings] = settings.models

    def model(self, name: str | None) -> tuple[str, ModelSettings]:
        """The named model, or the default one."""
        name = name or self._default
        found = self._models.get(name)
        if found is None or found.provider != self.provider:
            usable = sorted(key for key, model in self._models.items() if model.provider == self.provider)
            reason = "is not in the catalogue" if found is None else f"needs the provider {found.provider}"
            raise UnsupportedByModel(
                f"The model {name!r} {reason}; use one of: {', '.join(usable)}",
                details={"field": "model", "allowed": usable},
            )
        return name, found

    def settings_of(self, name: str) -> Mapping[str, object]:
        """Parameters that the catalogue adds to every task of the model."""
        return self._models[name].settings if name in self._models else {}

    def check_brief(self, brief: Brief) -> None:
        """Raise ``UnsupportedByModel`` unless the brief's model can do what the brief asks."""
        name, model = self.model(brief.model)
        self._seconds(name, model, brief.seconds_per_scene, field="seconds_per_scene")
        self._size(name, model, brief.aspect_ratio)
        self._image(name, model, brief.product_image_url)

    def shot(self, brief: Brief, description: SceneDescription) -> Shot:
        """The description as a shot. Raises ``UnsupportedByModel``, naming the field."""
        name, model = self.model(brief.model)
        prompt = description.prompt(with_sound=model.audio)
        if not 2 <= len(prompt) <= model.prompt_limit:  # noqa: PLR2004 - Runware's documented minimum
            raise UnsupportedByModel(
                f"The {description.scenario} scene's description has {len(prompt)} characters; "
                f"{model.label} takes 2 to {model.prompt_limit}",
                details={"field": "description", "scenario": description.scenario.value},
            )
        size = self._size(name, model, brief.aspect_ratio)
        image = self._image(name, model, brief.product_image_url)
        if description.duration is None:
            seconds = self._seconds(name, model, brief.seconds_per_scene, field="seconds_per_scene")
        else:
            seconds = self._seconds(name, model, description.duration, field="duration")
        return Shot(
            prompt=prompt,
            model=name,
            seconds=seconds,
            width=size[0],
            height=size[1],
            image_url=image,
        )

    def sends_size(self, name: str, image_url: str | None) -> bool:
        """Whether width and height go to the provider, or follow from the image."""
        return not (image_url and name in self._models and self._models[name].image_sets_size)

    def _seconds(self, name: str, model: ModelSettings, asked: float | None, *, field: str) -> float:
        seconds = model.default_seconds if asked is None else asked
        if not model.allows(seconds):
            raise UnsupportedByModel(
                f"{model.label} makes clips of {model.seconds_for_people}, not of {seconds:g}",
                details={"field": field, "model": name, "allowed": model.seconds_for_people},
            )
        return seconds

    def _size(self, name: str, model: ModelSettings, asked: str | None) -> tuple[int, int]:
        ratio = next(iter(model.sizes)) if asked is None else asked
        if ratio not in model.sizes:
            raise UnsupportedByModel(
                f"{model.label} does not make {ratio} videos; it makes {', '.join(model.sizes)}",
                details={"field": "aspect_ratio", "model": name, "allowed": list(model.sizes)},
            )
        return model.sizes[ratio]

    def _image(self, name: str, model: ModelSettings, asked: str | None) -> str | None:
        if asked is None or model.images:
            return asked
        if model.provider == "local":
            return None  # previews show text only; the brief stays valid for the real model
        raise UnsupportedByModel(
            f"{model.label} does not take a product image; leave it out or choose another model",
            details={"field": "product_image_url", "model": name},
        )
