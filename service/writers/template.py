"""Descriptions from templates: the default without a provider key. Uses the whole brief."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sessions.model import Brief, Scenario

#: two ways to film each scenario; {product}, {audience} and the like come from the brief
_TEMPLATES: Mapping[Scenario, tuple[str, str]] = {
    Scenario.HOOK: (
        (
            "Fast close-ups out of the dark, lit from one side, until we see it: {product}. "
            "It is meant for {audience}. {tone} The picture asks a question and leaves it open."
        ),
        (
            "An ordinary morning seen in a surprising way; something is off. The camera finds it: {product}. "
            "A look into the faces of {audience}. {tone}"
        ),
    ),
    Scenario.PROBLEM: (
        (
            "An ordinary day of {audience}: time runs away, nothing fits, a long sigh. "
            "Handheld camera, cool light. What is missing: {product}. {tone}"
        ),
        (
            "The same little annoyance three times in a row, each time worse for {audience}. "
            "Muted colours, hard cuts. Nobody here has it yet: {product}. {tone}"
        ),
    ),
    Scenario.SOLUTION: (
        (
            "One calm, continuous shot in warm light: {product}, at work, every step clear. "
            "Relief on the faces of {audience}. {tone}"
        ),
        (
            "Before and after, side by side; then the right half fills the frame: {product}. "
            "The scene opens up and shines for {audience}. {tone}"
        ),
    ),
    Scenario.CTA: (
        (
            "The product alone, on a clean background with room for the logo: {product}. "
            "In large letters: {offer}. {tone}"
        ),
        ("A last smile of {audience}, then only this: {product}. One line of text stays: {offer}. {tone}"),
    ),
}

_NO_OFFER = "try it today"


class TemplateWriter:
    """``Writer`` without any model."""

    name = "template"

    async def write(
        self,
        brief: Brief,
        scenarios: Sequence[Scenario],
        *,
        wish: str | None = None,
        variant: int = 0,
        longest: int = 4000,  # noqa: ARG002 - the templates are short
    ) -> Mapping[Scenario, str]:
        return {scenario: _describe(brief, scenario, wish, variant) for scenario in scenarios}


def _describe(brief: Brief, scenario: Scenario, wish: str | None, variant: int) -> str:
    templates = _TEMPLATES[scenario]
    audience = (brief.audience or "people who need it").strip()
    text = templates[variant % len(templates)].format(
        product=brief.product.strip(),
        audience=audience,
        tone=f"The mood is {brief.tone.strip()}." if brief.tone else "",
        offer=(brief.offer or _NO_OFFER).strip(),
    )
    if brief.language != "en":
        text += f" All words on screen and spoken are in {brief.language}."
    if wish:
        text += f" {wish.strip()}"
    return " ".join(text.split())
