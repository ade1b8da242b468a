"""Scene descriptions from templates and from a text model."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence

import pytest

from service.writers.model import ModelWriter
from service.writers.template import TemplateWriter
from sessions.errors import ProviderError, WriterFailed
from sessions.model import Brief, Scenario

FULL = Brief(
    product="Dawn lamp", audience="late risers", tone="warm and dry", offer="30 nights free", language="pt-BR"
)
ODD = "{product} {0} {} {{x}} %s %(a)s $tone \\n 🪔 {audience!r:>10}"


# ---------------------------------------------------------------------- templates


@pytest.mark.parametrize("variant", range(3))
async def test_the_templates_use_every_part_of_the_brief(variant: int) -> None:
    texts = await TemplateWriter().write(FULL, tuple(Scenario), variant=variant)
    assert list(texts) == list(Scenario)
    for text in texts.values():
        for part in ("Dawn lamp", "warm and dry", "pt-BR"):
            assert part in text
    together = " ".join(texts.values())
    assert "late risers" in together
    assert "30 nights free" in texts[Scenario.CTA]


async def test_a_bare_brief_is_enough() -> None:
    for variant in range(2):
        texts = await TemplateWriter().write(Brief(product="Lamp"), tuple(Scenario), variant=variant)
        for text in texts.values():
            assert "Lamp" in text
            assert not any(gap in text for gap in ("None", "{", "  ", " .", "mood"))
            assert text == text.strip()


@pytest.mark.parametrize("odd", [ODD, "{", "}", "{offer}", "[[fail", "a\nb\tc"])
async def test_braces_and_odd_characters_do_no_harm(odd: str) -> None:
    brief = Brief(product=odd, audience=odd, tone=odd, offer=odd, language=odd)
    for variant in range(2):
        texts = await TemplateWriter().write(brief, tuple(Scenario), wish=odd, variant=variant)
        for text in texts.values():
            assert " ".join(odd.split()) in text


async def test_a_wish_is_taken_word_by_word() -> None:
    texts = await TemplateWriter().write(FULL, [Scenario.HOOK], wish="  Show it in the rain.  ")
    assert list(texts) == [Scenario.HOOK]
    assert texts[Scenario.HOOK].endswith("Show it in the rain.")


async def test_a_further_variant_differs_and_the_same_one_does_not() -> None:
    async def write(variant: int) -> object:
        return await TemplateWriter().write(FULL, tuple(Scenario), variant=variant)

    assert await write(0) == await write(0)
    first, second = await write(0), await write(1)
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert all(first[scenario] != second[scenario] for scenario in Scenario)


# ---------------------------------------------------------------------- a text model


class _TextModel:
    """Gives its answers one after the other and keeps what it was asked."""

    def __init__(self, *answers: str | Exception) -> None:
        self._answers = iter(answers)
        self.prompts: list[str] = []
        self.systems: set[str] = set()

    async def complete(self, *, system: str, prompt: str) -> str:
        self.prompts.append(prompt)
        self.systems.add(system)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def _answer(scenarios: Sequence[Scenario] = tuple(Scenario)) -> str:
    return json.dumps({scenario.value: f"A {scenario} shot of the lamp 🪔" for scenario in scenarios})


EXPECTED = {scenario: f"A {scenario} shot of the lamp 🪔" for scenario in Scenario}


@pytest.mark.parametrize(
    "answer",
    [
        _answer(),
        f"```json\n{_answer()}\n```",
        f"```\n{_answer()}\n```\n",
        f"Sure! Here are your shots:\n\n{_answer()}\n\nLet me know what you think.",
        json.dumps({**json.loads(_answer()), "notes": {"mood": "warm"}}),
        _answer().replace('": "', '": "  ').replace('", "', '  ", "'),
    ],
)
async def test_json_is_found_in_whatever_stands_around_it(answer: str) -> None:
    model = _TextModel(answer)
    assert await ModelWriter(model).write(FULL, tuple(Scenario)) == EXPECTED
    assert len(model.prompts) == 1


UNUSABLE = [
    "",
    "I am sorry, I cannot do that.",
    "{not json}",
    "}{",
    "[1, 2]",
    "{}",
    json.dumps({"hook": "Only one"}),
    json.dumps({**json.loads(_answer()), "cta": None}),
    json.dumps({**json.loads(_answer()), "cta": 7}),
    json.dumps({**json.loads(_answer()), "cta": ""}),
    json.dumps({**json.loads(_answer()), "cta": " \n \n "}),
    json.dumps({**json.loads(_answer()), "cta": ["A shot"]}),
    json.dumps({**json.loads(_answer()), "cta": "x" * 4001}),
    _answer()[:-20],
]


@pytest.mark.parametrize("wrong", UNUSABLE)
async def test_an_unusable_answer_is_asked_for_once_more(wrong: str) -> None:
    model = _TextModel(wrong, _answer())
    assert await ModelWriter(model).write(FULL, tuple(Scenario)) == EXPECTED
    first, second = model.prompts
    assert second.startswith(first)
    assert "could not be used" in second[len(first) :]


@pytest.mark.parametrize(("first", "second"), list(itertools.pairwise(UNUSABLE[:8])))
async def test_two_unusable_answers_are_the_end(first: str, second: str) -> None:
    model = _TextModel(first, second, _answer())
    with pytest.raises(WriterFailed) as failed:
        await ModelWriter(model).write(FULL, tuple(Scenario))
    assert failed.value.code == "writer_failed"
    assert len(model.prompts) == 2


async def test_a_missing_key_is_named_to_the_model() -> None:
    incomplete = json.loads(_answer())
    del incomplete["solution"]
    model = _TextModel(json.dumps(incomplete), _answer())
    await ModelWriter(model).write(FULL, tuple(Scenario))
    assert "solution" in model.prompts[1][len(model.prompts[0]) :]


async def test_what_the_provider_refuses_is_a_failed_writer_with_the_providers_reason() -> None:
    error = ProviderError("No credit", code="quota", details={"provider_code": "E7"})
    model = _TextModel(error, _answer())
    with pytest.raises(WriterFailed, match="No credit") as failed:
        await ModelWriter(model).write(FULL, tuple(Scenario))
    assert (failed.value.code, failed.value.details) == ("quota", {"provider_code": "E7"})
    assert len(model.prompts) == 1, "a refusal is not asked for again"


async def test_the_model_is_told_the_brief_the_shots_and_the_wish() -> None:
    model = _TextModel(_answer([Scenario.CTA]))
    brief = Brief(product=ODD, offer="30 nights free")
    found = await ModelWriter(model).write(brief, [Scenario.CTA], wish="more rain", variant=1)
    assert list(found) == [Scenario.CTA]
    (prompt,) = model.prompts
    for part in (json.dumps(ODD, ensure_ascii=False), "30 nights free", "cta", "more rain", "attempt 2"):
        assert part in prompt
    assert "hook" not in prompt
    assert 'tone":' not in prompt, "what is not known is not mentioned"


async def test_only_a_further_attempt_is_called_one() -> None:
    model = _TextModel(_answer())
    await ModelWriter(model).write(FULL, tuple(Scenario))
    assert "attempt" not in model.prompts[0]
