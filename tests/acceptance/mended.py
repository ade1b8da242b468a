"""Requests made up from the API's description, mended where it cannot say what is right.

Only what was meant to be valid is touched. Some ids become those of things that are there; and what no
schema can say is put right, so that a refusal of the rest is a fault either of the server or of the
description: what the model at hand makes, which addresses are public, what belongs together. The same
request is always mended in the same way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from schemathesis import Case
from schemathesis.core.parameters import ParameterLocation

from sessions.api_keys import is_name
from tests.acceptance.made_up import USER, Known, picture

Body = dict[str, Any]

_KEY = "Idempotency-Key"
_SCENARIOS = ("hook", "problem", "solution", "cta")
_IMAGE = "https://images.example.com/lamp.jpg"
_PICTURE = picture()
_LONGEST_WAIT = 60
_NOBODY = "00000000-0000-4000-8000-000000000000"

#: longer prompts than this are too long for the model; a scene's is made of up to eight texts
_PROMPT = 8000

#: of four requests, so many are about something that is there
_REAL = 3


def operation_of(case: Case[Any]) -> str:
    return str(case.operation.definition.raw["operationId"])


def mended(case: Case[Any], known: Known) -> None:
    """Put right what was meant to be valid, in place."""
    if case.method.lower() != case.operation.method.lower():
        return  # a method that there is not: the rest does not matter
    operation, number, good = operation_of(case), _number(case), _good(case)

    def there(name: str) -> str | None:
        """Something that is there, for some requests; names of one request belong together."""
        values = known.get(f"{operation}.{name}") or known.get(name)
        return values[number // 4 % len(values)] if values and number % 4 < _REAL else None

    for values, location, mend in (
        (case.path_parameters, ParameterLocation.PATH, _users),
        (case.query, ParameterLocation.QUERY, _QUERIES.get(operation, _users)),
        (case.body, ParameterLocation.BODY, _BODIES.get(operation, _nothing)),
    ):
        if isinstance(values, dict) and location in good:
            for name in [*values]:
                values[name] = there(name) or values[name]
            mend(values)
    _impatient(case.query)
    if operation == "createVideoJob" and ParameterLocation.BODY not in good:
        _still_wrong_in_a_form(case.body)
    if ParameterLocation.HEADER in good and _KEY in case.headers:
        case.headers[_KEY] = _digest(case)  # else it is one that was used for another request


def _good(case: Case[Any]) -> frozenset[ParameterLocation]:
    """What of the request was meant to be valid; asked after a change, it would be judged anew."""
    assert case.meta is not None, "it was made up"
    bad = {place for place, component in case.meta.components.items() if component.mode.is_negative}
    return frozenset(ParameterLocation) - bad


def _digest(case: Case[Any]) -> str:
    what = (case.path_parameters, case.query, case.body)
    said = (operation_of(case), *what, case.media_type, case.multipart_content_types)
    return hashlib.sha256(repr(said).encode(errors="surrogatepass")).hexdigest()


def _number(case: Case[Any]) -> int:
    return int(_digest(case)[:8], 16)


# ---------------------------------------------------------------------- what no schema can say


def _impatient(query: Body) -> None:
    """Nothing changes while we wait, in a right request or in one that is wrong elsewhere."""
    seconds = query.get("wait")
    if isinstance(seconds, int | str) and str(seconds) in map(str, range(_LONGEST_WAIT + 1)):
        query["wait"] = type(seconds)(0)


def _which(query: Body) -> None:
    """One of both is needed."""
    if not (query.get("videoId") or query.get("taskId")):
        query["videoId"] = _NOBODY


def _nothing(_body: Body) -> None:
    """All that is right can be said by the schema."""


def _session(body: Body) -> None:
    _one_that_the_model_makes(body)
    _addresses(body)
    if body.get("scene_descriptions"):
        body["scene_descriptions"] = [*_each_once(body["scene_descriptions"])]


def _generation(body: Body) -> None:
    if body.get("scene_descriptions"):
        body.pop("session_id", None)  # one of both: some of what is made up has both nevertheless
        given = {scene["scenario"]: scene for scene in _each_once(body["scene_descriptions"])}
        scenes = [given.get(name, {"scenario": name}) for name in _SCENARIOS]
        for scene in scenes:
            _film(scene)
        body["scene_descriptions"] = scenes


def _regeneration(body: Body) -> None:
    if body.get("scene_description"):
        body.pop("session_id", None)
        body["scene_description"].pop("scenario", None)
        _film(body["scene_description"])


def _each_once(scenes: list[Body]) -> Iterator[Body]:
    for scene in {scene["scenario"]: scene for scene in scenes}.values():
        _description(scene)
        yield scene


def _description(scene: Body) -> None:
    """All texts together are the prompt, also with those of earlier changes."""
    if scene.get("duration") is not None:
        scene["duration"] = 1 + int(scene["duration"]) % 60
    texts = {name: text for name, text in scene.items() if isinstance(text, str) and name != "scenario"}
    if texts or scene.get("approved"):
        texts["description"] = f"A lamp {scene.get('description', '')}"
    scene.update({name: text[: _PROMPT // 8] for name, text in texts.items()})


def _film(scene: Body) -> None:
    scene["approved"] = True
    _description(scene)


def _one_that_the_model_makes(body: Body) -> None:
    good = {
        "model": "veo-3.1-fast-generate-preview",
        "aspect_ratio": "9:16",
        "aspectRatio": "9:16",
        "seconds_per_scene": 5,
        "duration": 5,
        "resolution": "720p",
    }
    for name in good.keys() & body.keys():
        if body[name] is not None:
            body[name] = good[name]


def _addresses(body: Body) -> None:
    """What a public address is, is decided by more than its form."""
    for name in ("logo_url", "product_image_url", "imageUrl", "image_url"):
        if body.get(name):
            body[name] = _IMAGE


def _prompt(body: Body, *, needed: bool = False) -> None:
    """As long as the model takes it."""
    if body.get("prompt") or needed:
        body["prompt"] = f"A lamp {body.get('prompt') or ''}"[:_PROMPT]


def _files(body: Body) -> None:
    for name in ("imageFile", "image", "initialImage", "endFrame"):
        if name in body:
            body[name] = _PICTURE
    if body.get("referenceImages"):
        body["referenceImages"] = [_PICTURE for _ in body["referenceImages"]]


def _gallery(body: Body) -> None:
    _one_that_the_model_makes(body)
    _addresses(body)
    _files(body)
    images = [name for name in ("imageUrl", "imageFile", "image") if body.get(name)]
    for name in images[1:]:
        del body[name]
    _prompt(body, needed=not images)


def _video_job(body: Body) -> None:
    body["model"] = "veo-3.1-fast-generate-preview"
    _files(body)
    if "initialImage" not in body:
        body.pop("endFrame", None)
    _prompt(body, needed="initialImage" not in body)
    _users(body)


def _credits(body: Body) -> None:
    _addresses(body)
    _prompt(body)
    person = body.get("reference_person") or {}
    for name in ("person_id", "relationship"):
        if person.get(name) is not None and not is_name(person[name]):
            person[name] = "somebody"
    _users(body)


def _grant(body: Body) -> None:
    body["amount"] = 1 + abs(body["amount"]) % 1000  # nobody may have too much, or too little to take back
    if not body.get("note", "").isprintable():
        body["note"] = "welcome"
    _users(body)


def _users(body: Body) -> None:
    """Which characters can be printed is not for a schema to say."""
    for name in {"user_id", "userId"} & body.keys():
        if body[name] is not None and not is_name(unquote(str(body[name]))):
            body[name] = USER


def _still_wrong_in_a_form(body: Any) -> None:
    """0 and 1 are no yes and no in JSON, but in a form they are."""
    if isinstance(body, dict) and type(body.get("generateAudio")) is int:
        body["generateAudio"] = 2


_QUERIES: dict[str, Callable[[Body], None]] = {"getVideoStatus": _which}

_BODIES: dict[str, Callable[[Body], None]] = {
    "createSession": _session,
    "generateScenes": _generation,
    "regenerateScene": _regeneration,
    "editDescription": _description,
    "generateGalleryVideo": _gallery,
    "createVideoJob": _video_job,
    "generateVideo": _credits,
    "animateImage": _credits,
    "changeVideo": _users,
    "grantCredits": _grant,
}
