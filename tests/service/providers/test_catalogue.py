"""What each model can do is checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.providers.catalogue import Catalogue
from service.settings import load_settings
from sessions.errors import InvalidInput, UnsupportedByModel
from sessions.model import Brief, Frames, Scenario, SceneDescription

KLING = "klingai:kling-video@3-standard"
VEO = "google:3@3"
VEO_FULL = "google:3@2"
HAILUO = "minimax:4@1"
GEN = "runway:1@2"
IMAGE = "https://example.com/lamp.png"

BRIEF = Brief(product="Lamp")
HOOK = SceneDescription(scenario=Scenario.HOOK, description="A lamp in the dark")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The packaged settings only."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def paid() -> Catalogue:
    return Catalogue(load_settings(environ={"RUNWARE_API_KEY": "test-key"}))


@pytest.fixture
def local() -> Catalogue:
    return Catalogue(load_settings(environ={}))


def _refusal(catalogue: Catalogue, description: SceneDescription = HOOK, **brief: Any) -> UnsupportedByModel:
    """The same refusal for a brief as for its shot."""
    wanted = replace(BRIEF, **brief)
    with pytest.raises(UnsupportedByModel) as refused:
        catalogue.shot(wanted, description)
    return refused.value


def test_the_default_model_decides_what_a_bare_brief_leaves_open(paid: Catalogue, local: Catalogue) -> None:
    shot = paid.shot(BRIEF, HOOK)
    assert (shot.model, shot.seconds, shot.width, shot.height) == (KLING, 5, 1280, 720)
    assert (shot.prompt, shot.frames, shot.sound) == ("A lamp in the dark", Frames(), True)
    assert local.shot(BRIEF, HOOK).model == "local:preview@1"
    assert (paid.provider, local.provider) == ("runware", "local")


def test_the_brief_chooses_model_size_and_length(paid: Catalogue) -> None:
    shot = paid.shot(replace(BRIEF, model=VEO, aspect_ratio="9:16", seconds_per_scene=8), HOOK)
    assert (shot.model, shot.seconds, shot.width, shot.height) == (VEO, 8, 720, 1280)


def test_the_scenes_own_length_comes_before_the_briefs(paid: Catalogue) -> None:
    brief = replace(BRIEF, seconds_per_scene=4)
    assert paid.shot(brief, replace(HOOK, duration=15.0)).seconds == 15
    assert paid.shot(brief, HOOK).seconds == 4


@pytest.mark.parametrize(
    ("model", "reason"),
    [("no:such@1", "is not in the catalogue"), ("local:preview@1", "needs the provider local")],
)
def test_a_model_that_cannot_be_used_is_refused_and_the_others_are_named(
    paid: Catalogue, model: str, reason: str
) -> None:
    error = _refusal(paid, model=model)
    assert reason in error.message
    assert error.details == {"field": "model", "allowed": sorted([KLING, VEO, VEO_FULL, HAILUO, GEN])}
    assert all(name in error.message for name in (KLING, VEO, VEO_FULL, HAILUO, GEN))


@pytest.mark.parametrize(
    ("brief", "details", "sentence"),
    [
        (
            {"model": VEO, "seconds_per_scene": 5},
            {"field": "seconds_per_scene", "model": VEO, "allowed": "4, 6, 8 seconds"},
            "Veo 3.1 Fast makes clips of 4, 6, 8 seconds, not of 5",
        ),
        (
            {"seconds_per_scene": 5.5},
            {"field": "seconds_per_scene", "model": KLING, "allowed": "whole seconds from 3 to 15"},
            "Kling 3.0 Standard makes clips of whole seconds from 3 to 15, not of 5.5",
        ),
        (
            {"model": HAILUO, "aspect_ratio": "9:16"},
            {"field": "aspect_ratio", "model": HAILUO, "allowed": ["16:9"]},
            "Hailuo 2.3 does not make 9:16 videos; it makes 16:9",
        ),
    ],
)
def test_what_a_model_cannot_do_is_said_with_what_it_can(
    paid: Catalogue, brief: Mapping[str, Any], details: Mapping[str, Any], sentence: str
) -> None:
    error = _refusal(paid, **brief)
    assert (error.details, error.message) == (details, sentence)
    assert isinstance(error, InvalidInput)
    with pytest.raises(UnsupportedByModel, match=sentence[:20]):
        paid.check_brief(replace(BRIEF, **brief))


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), 2.0, 16.0])
def test_impossible_lengths_are_refused(paid: Catalogue, seconds: float) -> None:
    with pytest.raises(UnsupportedByModel):
        paid.check_brief(replace(BRIEF, seconds_per_scene=seconds))


@pytest.mark.parametrize(("length", "fits"), [(1, False), (2, True), (1000, True), (1001, False)])
def test_prompts_have_a_shortest_and_a_longest_length(paid: Catalogue, length: int, fits: bool) -> None:
    description = replace(HOOK, description="x" * length)
    brief = replace(BRIEF, model=GEN)
    if fits:
        assert paid.shot(brief, description).prompt == "x" * length
    else:
        error = _refusal(paid, description, model=GEN)
        assert error.details == {"field": "description", "scenario": "hook"}
        assert f"{length} characters; Gen-4.5 takes 2 to 1000" in error.message


def test_the_details_of_a_description_count_as_prompt(paid: Catalogue) -> None:
    description = replace(HOOK, description="x" * 900, camera_work="y" * 200)
    _refusal(paid, description, model=GEN)


def test_only_a_model_with_sound_is_told_of_it(paid: Catalogue) -> None:
    described = replace(
        HOOK,
        camera_work="Still",
        lighting=" Dim ",
        audio_design="Rain",
        background_music="Cello",
        sound_effects="Click",
        dialog_narration="Wake up.",
    )
    silent = paid.shot(replace(BRIEF, model=GEN), described).prompt
    assert silent == "A lamp in the dark\nCamera: Still\nLighting: Dim"
    assert paid.shot(BRIEF, described).prompt == (
        f"{silent}\nAudio: Rain\nMusic: Cello\nSound effects: Click\nNarration: Wake up."
    )


def test_a_visual_description_alone_is_the_prompt_and_stands_there_once(paid: Catalogue) -> None:
    description = SceneDescription(scenario=Scenario.HOOK, visual_description=" A lamp ")
    assert paid.shot(BRIEF, description).prompt == "A lamp"


def test_an_image_goes_along_where_the_model_takes_one(paid: Catalogue) -> None:
    assert paid.shot(replace(BRIEF, product_image_url=IMAGE), HOOK).frames == Frames(first=IMAGE)


def test_a_brief_with_an_image_is_valid_for_a_preview_too(local: Catalogue) -> None:
    brief = replace(BRIEF, product_image_url=IMAGE)
    local.check_brief(brief)
    assert local.shot(brief, HOOK).frames == Frames(first=IMAGE)


def test_a_paid_model_without_images_refuses_one() -> None:
    changes = {"models": {VEO: {"images": False}}}
    catalogue = Catalogue(load_settings(changes, environ={"RUNWARE_API_KEY": "test-key"}))
    error = _refusal(catalogue, model=VEO, product_image_url=IMAGE)
    assert error.details == {"field": "product_image_url", "model": VEO}


@pytest.mark.parametrize(
    ("model", "image", "sends"),
    [
        (KLING, None, True),
        (KLING, IMAGE, False),
        (GEN, IMAGE, True),
        (GEN, None, True),
        ("gone:model@1", IMAGE, True),
    ],
)
def test_the_size_is_left_out_where_it_follows_from_the_image(
    paid: Catalogue, model: str, image: str | None, sends: bool
) -> None:
    assert paid.sends_size(model, Frames(first=image)) is sends


def test_the_catalogues_parameters_go_along_and_a_vanished_model_has_none(paid: Catalogue) -> None:
    assert paid.settings_of(KLING, sound=True) == {"providerSettings": {"klingai": {"sound": True}}}
    assert paid.settings_of(KLING, sound=False) == {"providerSettings": {"klingai": {"sound": False}}}
    assert paid.settings_of(KLING, sound=True) == {"providerSettings": {"klingai": {"sound": True}}}
    assert paid.settings_of(GEN, sound=False) == {}
    assert paid.settings_of("gone:model@1", sound=True) == {}


def test_every_packaged_model_can_film_with_its_own_defaults(paid: Catalogue) -> None:
    for name in (KLING, VEO, HAILUO, GEN):
        paid.check_brief(replace(BRIEF, model=name))
        assert paid.shot(replace(BRIEF, model=name), HOOK).model == name
