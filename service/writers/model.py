"""Descriptions from a text model: JSON is asked for, validated, and asked for once more if wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated

import structlog
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, create_model

from service.providers.base import TextModel
from sessions.errors import ProviderError, WriterFailed
from sessions.model import Brief, Scenario

_log = structlog.get_logger(__name__)

_SYSTEM = (
    "You are a director of short marketing videos. You describe single shots for a video model: what is "
    "seen, the camera, the light, the mood. Each description stands on its own, has 40 to 90 words, and "
    "names the product and its look the same way every time. Answer with one JSON object and nothing else."
)

_PURPOSE: Mapping[Scenario, str] = {
    Scenario.HOOK: "catches the eye within two seconds",
    Scenario.PROBLEM: "shows what is hard without the product",
    Scenario.SOLUTION: "shows the product solving it",
    Scenario.CTA: "calls to action and shows the offer",
}


class ModelWriter:
    """``Writer`` on a provider's text model."""

    name = "model"

    def __init__(self, text_model: TextModel) -> None:
        self._text_model = text_model

    async def write(
        self,
        brief: Brief,
        scenarios: Sequence[Scenario],
        *,
        wish: str | None = None,
        variant: int = 0,
        longest: int = 4000,
    ) -> Mapping[Scenario, str]:
        prompt = _prompt(brief, scenarios, wish, variant, longest)
        shape = _shape(scenarios, longest)
        problem = ""
        for _ in range(2):
            answer = await self._ask(prompt + problem)
            try:
                found = shape.model_validate_json(_json_in(answer)).model_dump()
            except ValidationError as error:
                what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
                _log.warning("writer.unusable", problem=what)
                problem = (
                    f"\n\nYour last answer could not be used ({what}). Answer with the JSON object only."
                )
            else:
                return {scenario: found[scenario.value] for scenario in scenarios}
        raise WriterFailed(
            "The text model gave no usable descriptions, twice; try again, or write them yourself"
        )

    async def _ask(self, prompt: str) -> str:
        try:
            return await self._text_model.complete(system=_SYSTEM, prompt=prompt)
        except ProviderError as error:
            raise WriterFailed(error.message, code=error.code, details=error.details) from error


def _prompt(brief: Brief, scenarios: Sequence[Scenario], wish: str | None, variant: int, longest: int) -> str:
    facts = {name: value for name, value in asdict(brief).items() if value is not None}
    wanted = {scenario.value: f"a shot that {_PURPOSE[scenario]}" for scenario in scenarios}
    lines = [
        f"The brief: {json.dumps(facts, ensure_ascii=False)}",
        f"Describe these shots: {json.dumps(wanted)}",
        (
            f"Answer as a JSON object with the keys {', '.join(wanted)}, each a string of "
            f"{longest} characters at most."
        ),
    ]
    if wish:
        lines.append(f"The client wants: {wish}")
    if variant:
        lines.append(f"This is attempt {variant + 1}: find a clearly different idea than the obvious one.")
    return "\n".join(lines)


def _shape(scenarios: Sequence[Scenario], longest: int) -> type[BaseModel]:
    text = (Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=longest)], ...)
    fields = {scenario.value: text for scenario in scenarios}
    return create_model("Descriptions", __config__=ConfigDict(extra="ignore"), **fields)  # type: ignore[call-overload, no-any-return]


def _json_in(answer: str) -> str:
    """The outermost object of an answer that may have a fence or words around it."""
    start, end = answer.find("{"), answer.rfind("}")
    return answer[start : end + 1] if start < end else answer
