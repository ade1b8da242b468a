"""Orders of video jobs: what forms and JSON may say, what is refused and how, images, preview or not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from service.clips import NOBODY
from sessions.ledger import Currency
from tests.house import House, runware_layer
from tests.service.contracts.kit import raw, tells_nothing
from tests.service.contracts.video_jobs_kit import (
    PATH,
    checked,
    ended,
    form,
    listed,
    looked,
    messages,
    order,
    ordered,
    picture,
    problem,
    small_house,
)
from tests.wire.runware_server import RunwareServer

RESOLUTION = "Resolution must be '720p' or '1080p'"
RATIO = "Aspect ratio must be '16:9' or '9:16'"
DURATION = "Duration must be 4 or 8 seconds"
MODEL_NEEDED = "model is required"
MODE = "mockMode must be 'true' or 'false'"
AUDIO = "generateAudio must be 'true' or 'false'"
SOMETHING = "Either prompt or initialImage is required"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with small_house(tmp_path) as opened:
        yield opened


async def nothing_is_left(house: House) -> None:
    """No job, no charge, no image."""
    assert (await listed(house))["total"] == 0
    assert [it for it in house.settings.images.dir.iterdir() if it.suffix == ".jpg"] == []
    store = house.service.studio._store
    assert await store.charges_of(NOBODY, Currency.TOKENS, 10) == []


# ---------------------------------------------------------------------- what is taken


@pytest.mark.parametrize("kind", ["multipart", "urlencoded", "json"])
async def test_every_kind_of_body_is_the_same_order(house: House, kind: str) -> None:
    fields = order(durationSeconds=8, generateAudio="true")
    bodies: dict[str, dict[str, Any]] = {
        "multipart": {"data": form(fields)},
        "urlencoded": {"data": fields},
        "json": {"json": {**fields, "durationSeconds": 8, "generateAudio": True, "mockMode": True}},
    }
    answer = await house.ask("POST", PATH, **bodies[kind])
    assert answer.status == 202, answer.json
    job = checked(answer.json)
    assert (job["durationSeconds"], job["generateAudio"], job["mockMode"]) == (8, True, True)
    assert job["prompt"] == fields["prompt"]
    snapshot = await ended(house, job["id"])
    scene = snapshot.scenes[0]
    assert (scene.sound, scene.seconds, scene.width, scene.height) == (True, 8.0, 256, 144)


async def test_the_quick_start_is_taken_as_it_is_printed(house: House) -> None:
    """JSON, under the header of a form and without its boundary."""
    body = json.dumps(order(mockMode=None, durationSeconds=8)).encode()
    answer = await raw(house, "POST", PATH, body, Content_Type="multipart/form-data")
    assert answer.status == 202
    assert checked(answer.json)["durationSeconds"] == 8


async def test_durations(house: House, subtests: pytest.Subtests) -> None:
    for given, seconds in ((None, 8), ("", 8), ("4", 4), ("8", 8), (" 8 ", 8), ("8.0", 8)):
        with subtests.test("form", given=given):
            answer = await house.ask("POST", PATH, data=form(order(durationSeconds=given)))
            assert (answer.status, answer.json["durationSeconds"]) == (202, seconds)
    for number, seconds in ((None, 8), (4, 4), (8.0, 8), ("4", 4)):
        with subtests.test("JSON", given=number):
            answer = await house.post(PATH, {**order(), "durationSeconds": number})
            assert (answer.status, answer.json["durationSeconds"]) == (202, seconds)


async def test_sound_is_asked_for(house: House, subtests: pytest.Subtests) -> None:
    for given, sound in ((None, False), ("", False), ("false", False), ("true", True), ("on", True)):
        with subtests.test(given=given):
            job = (await house.ask("POST", PATH, data=form(order(generateAudio=given)))).json
            assert job["generateAudio"] is sound
            assert (await ended(house, job["id"])).scenes[0].sound is sound


async def test_a_preview_stands_in_for_every_model_there_is(house: House, subtests: pytest.Subtests) -> None:
    for name in ("google:3@3", "veo-3.1-fast", "local:preview@1", "minimax:4@1"):
        with subtests.test(name):
            job = await ordered(house, model=name)
            assert job["model"] == name
            assert (await ended(house, job["id"])).scenes[0].model == "local:preview@1"


async def test_an_order_of_nine_by_sixteen(house: House) -> None:
    job = await ordered(house, aspectRatio="9:16", resolution="720p")
    assert (job["aspectRatio"], job["resolution"]) == ("9:16", "720p")
    scene = (await ended(house, job["id"])).scenes[0]
    assert (scene.width, scene.height) == (144, 256)


# ---------------------------------------------------------------------- what is refused


BAD_FORMS: list[tuple[Any, ...]] = [
    ({"resolution": "4k"}, RESOLUTION),
    ({"resolution": "1080P"}, RESOLUTION),
    ({"resolution": ""}, RESOLUTION),
    ({"resolution": None}, RESOLUTION),
    ({"aspectRatio": "1:1"}, RATIO),
    ({"aspectRatio": "16x9"}, RATIO),
    ({"aspectRatio": None}, RATIO),
    ({"durationSeconds": "5"}, DURATION),
    ({"durationSeconds": "6"}, DURATION),
    ({"durationSeconds": "-8"}, DURATION),
    ({"durationSeconds": "eight"}, DURATION),
    ({"durationSeconds": "nan"}, DURATION),
    ({"durationSeconds": "8e0"}, DURATION),
    ({"durationSeconds": "٨"}, DURATION),
    ({"mockMode": "yes"}, MODE),
    ({"mockMode": "1"}, MODE),
    ({"mockMode": ""}, MODE),
    ({"generateAudio": "maybe"}, AUDIO),
    ({"model": ""}, MODEL_NEEDED),
    ({"model": None}, MODEL_NEEDED),
    ({"prompt": None}, SOMETHING),
    ({"prompt": ""}, SOMETHING),
    ({"prompt": " \n\t "}, SOMETHING),
    ({"model": "veo-9", "resolution": "8k"}, RESOLUTION),
]


async def test_bad_words_of_forms(house: House, subtests: pytest.Subtests) -> None:
    for changes, sentence in BAD_FORMS:
        fields = order(**changes)
        urlencoded = {"Content-Type": "application/x-www-form-urlencoded"}
        bodies: tuple[dict[str, Any], ...] = (
            {"data": form(fields)},
            {"data": urlencode(fields).encode(), "headers": urlencoded},
        )
        for body in bodies:
            with subtests.test(str(changes), parts=len(body)):
                assert problem(await house.ask("POST", PATH, **body), 400) == sentence
    await nothing_is_left(house)


BAD_JSON: list[tuple[Any, ...]] = [
    ({"resolution": 1080}, RESOLUTION),
    ({"resolution": ["1080p"]}, RESOLUTION),
    ({"aspectRatio": {"w": 16}}, RATIO),
    ({"durationSeconds": 6}, DURATION),
    ({"durationSeconds": True}, DURATION),
    ({"durationSeconds": [8]}, DURATION),
    ({"durationSeconds": 8.5}, DURATION),
    ({"durationSeconds": 10**400}, DURATION),
    ({"mockMode": 1}, MODE),
    ({"mockMode": {}}, MODE),
    ({"generateAudio": 2}, AUDIO),
    ({"generateAudio": []}, AUDIO),
    ({"model": 7}, MODEL_NEEDED),
    ({"model": None}, MODEL_NEEDED),
    ({"prompt": 7}, "prompt"),
    ({"prompt": "a\x00b"}, "NUL"),
    ({"prompt": "x"}, "2 to 10000"),
    ({"prompt": "x" * 10_001}, "2 to 10000"),
    ({"model": "veo-9"}, "not in the catalogue"),
    ({"model": "../../etc/passwd"}, "not in the catalogue"),
    ({"seed": 7}, "seed is not a field of this form"),
    ({"initialImage": "https://example.com/a.png"}, "initialImage is a file"),
    ({"user_id": "a\nb"}, "printable"),
]


async def test_bad_words_of_json(house: House, subtests: pytest.Subtests) -> None:
    for changes, sentence in BAD_JSON:
        with subtests.test(str(changes)[:80]):
            answer = await house.post(PATH, {**order(), **changes})
            assert sentence in problem(answer, 400)
            tells_nothing(answer)
    await nothing_is_left(house)


_PART = b'--x\r\nContent-Disposition: form-data; name="resolution"\r\n\r\n%b\r\n'


NO_BODIES: list[tuple[Any, ...]] = [
    (b"", None, MODEL_NEEDED),
    (b"{}", "application/json", MODEL_NEEDED),
    (b"[]", "application/json", "not a JSON object"),
    (b"{", "application/json", "not valid JSON"),
    (b'{"model": "a", "model": "b"}', "application/json", "twice"),
    (b"{}", "text/plain", "Send the fields as multipart/form-data"),
    (b"model=a&model=b", "application/x-www-form-urlencoded", "twice"),
    (b"model=%ff", "application/x-www-form-urlencoded", "not UTF-8"),
    (b"--x", "multipart/form-data", "boundary"),
    (b"{", "multipart/form-data", "not valid JSON"),
    (b"{}", "multipart/form-data; boundary=x", "ends before its last boundary"),
    (
        _PART % b"720p" + _PART % b"1080p" + b"--x--\r\n",
        "multipart/form-data; boundary=x",
        "resolution is in it twice",
    ),
    (
        (_PART % b"720p").replace(b"\r\n\r\n", b'; filename="a"\r\n\r\n') + b"--x--\r\n",
        "multipart/form-data; boundary=x",
        RESOLUTION,
    ),
]


async def test_bodies_that_are_none(house: House, subtests: pytest.Subtests) -> None:
    for body, content_type, sentence in NO_BODIES:
        with subtests.test(str(body[:80]), content_type=content_type):
            headers = {"Content_Type": content_type} if content_type else {}
            answer = await raw(house, "POST", PATH, body, **headers)
            assert sentence in problem(answer, 400)
            tells_nothing(answer)


# ---------------------------------------------------------------------- images


async def test_an_image_is_enough(house: House) -> None:
    answer = await house.ask(
        "POST",
        PATH,
        data=form(order(prompt=None), ("initialImage", picture()), ("endFrame", picture("blue"))),
    )
    assert answer.status == 202, answer.json
    job = checked(answer.json)
    assert job["prompt"] is None
    scene = (await ended(house, job["id"])).scenes[0]
    assert scene.prompt
    assert scene.frames.first
    assert scene.frames.last
    assert scene.frames.first != scene.frames.last
    assert (await looked(house, job["id"]))["status"] == "SUCCEEDED"


async def test_three_reference_images_and_no_fourth(house: House) -> None:
    three = [("referenceImages", picture(colour)) for colour in ("red", "green", "blue")]
    answer = await house.ask("POST", PATH, data=form(order(), *three))
    assert answer.status == 202
    scene = (await ended(house, answer.json["id"])).scenes[0]
    assert len(set(scene.frames.references)) == 3
    four = await house.ask("POST", PATH, data=form(order(), *three, ("referenceImages", picture())))
    assert "referenceImages has more than 3 files" in problem(four, 400)


async def test_an_empty_file_is_none(house: House) -> None:
    answer = await house.ask("POST", PATH, data=form(order(), ("initialImage", b"")))
    assert answer.status == 202
    assert not (await ended(house, answer.json["id"])).scenes[0].frames
    alone = await house.ask("POST", PATH, data=form(order(prompt=None), ("initialImage", b"")))
    assert problem(alone, 400) == SOMETHING


NO_IMAGES: list[tuple[Any, ...]] = [
    ("initialImage", b"not an image at all", "image"),
    ("initialImage", picture()[:-40], "image"),
    ("endFrame", picture(), "end frame only together with a first one"),
    ("referenceImages", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image"),
]


async def test_images_that_are_none(house: House, subtests: pytest.Subtests) -> None:
    for field, content, sentence in NO_IMAGES:
        with subtests.test(field, content=content[:8]):
            answer = await house.ask("POST", PATH, data=form(order(), (field, content)))
            assert sentence in problem(answer, 400)
            tells_nothing(answer)
    await nothing_is_left(house)


async def test_a_picture_that_would_fill_the_memory_is_refused(house: House) -> None:
    bomb = picture(size=(20_000, 2_000))
    assert len(bomb) < 1 << 20
    answer = await house.ask("POST", PATH, data=form(order(), ("initialImage", bomb)))
    problem(answer, 400)
    await nothing_is_left(house)


async def test_a_file_that_is_too_large_is_refused(house: House) -> None:
    answer = await house.ask("POST", PATH, data=form(order(), ("initialImage", b"\0" * ((10 << 20) + 1))))
    assert "larger than 10 MiB" in problem(answer, 413)
    await nothing_is_left(house)


async def test_images_are_looked_at_last(house: House) -> None:
    """A word that is wrong is cheaper to find than a picture that is."""
    answer = await house.ask(
        "POST", PATH, data=form(order(model="veo-9"), ("initialImage", b"not an image at all"))
    )
    assert "not in the catalogue" in problem(answer, 400)


async def test_file_names_mean_nothing(house: House) -> None:
    data = aiohttp.FormData()
    for name, value in order().items():
        data.add_field(name, str(value))
    data.add_field("initialImage", picture(), filename="../../../../etc/cron.d/x", content_type="text/html")
    answer = await house.ask("POST", PATH, data=data)
    assert answer.status == 202
    kept = [it.name for it in house.settings.images.dir.iterdir() if not it.name.startswith(".")]
    assert [name for name in kept if not name.endswith(".jpg")] == []


# ---------------------------------------------------------------------- preview or not (X1)


async def mode(house: House, given: str | None) -> tuple[Mapping[str, Any], str | None, str]:
    """The job, the warning and who makes the video."""
    answer = await house.post(PATH, order(mockMode=given))
    assert answer.status == 202, answer.json
    snapshot = await ended(house, answer.json["id"])
    return await looked(house, answer.json["id"]), answer.headers.get("Warning"), snapshot.scenes[0].provider


@pytest.mark.parametrize(
    ("given", "warning"),
    [
        (None, "mockMode is missing: this is a preview"),
        ("true", None),
        ("TRUE", None),
        ("false", "no video provider is configured"),
    ],
)
async def test_without_a_provider_everything_is_a_preview(
    house: House, given: str | None, warning: str | None
) -> None:
    job, warned, provider = await mode(house, given)
    assert (job["mockMode"], provider) == (True, "local")
    assert "🧪 Mock mode: a local preview stands in for the video" in messages(job)
    if warning is None:
        assert warned is None
    else:
        assert warned is not None
        assert warned.startswith('299 - "')
        assert warning in warned


@pytest.mark.parametrize(
    ("given", "mock", "warning"),
    [(None, False, "made, and billed"), ("true", True, None), ("false", False, None)],
)
async def test_with_a_provider_a_preview_has_to_be_asked_for(
    tmp_path: Path, wire: RunwareServer, given: str | None, mock: bool, warning: str | None
) -> None:
    async with small_house(tmp_path, runware_layer(wire)) as house:
        job, warned, provider = await mode(house, given)
        assert (job["mockMode"], provider) == (mock, "local" if mock else "runware")
        assert ("🧪" in str(messages(job))) is mock
        assert len(wire.submits) == (0 if mock else 1)
        assert (warning in warned) if warning and warned else warned is warning


@pytest.mark.parametrize("given", [None, "true"])
async def test_orders_can_be_made_to_say_it(tmp_path: Path, given: str | None) -> None:
    layer = {"video_jobs": {"mock_mode_required": True}}
    async with small_house(tmp_path, layer) as house:
        answer = await house.post(PATH, order(mockMode=given))
        if given is None:
            assert problem(answer, 400) == MODE
        else:
            assert (answer.status, answer.headers.get("Warning")) == (202, None)
