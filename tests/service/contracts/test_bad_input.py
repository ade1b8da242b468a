"""Whatever is sent, the answer is an error of the contract, and nothing happens."""

from __future__ import annotations

import asyncio
import gzip
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from service.drafts import Drafts
from service.studio import Studio
from sessions.database import Database
from sessions.store import StoreUnavailable
from sessions.transactions import TransactionThreads
from tests.house import Answer, House, open_house, settings_for
from tests.service.contracts.kit import connect, detail, fields, problem, raw, tells_nothing
from tests.wire.runware_server import RunwareServer

CREATE = "/api/session/create"
#: every route that reads a body, with a body that is right; {session} stands for a session's id
BODIES: Mapping[str, dict[str, Any]] = {
    f"POST {CREATE}": {"product": "Lamp"},
    "PUT /api/session/{session}/scenes/hook": {"description": "A lamp at night"},
    "POST /api/scenes/generate-descriptions": {"session_id": "{session}"},
    "POST /api/scenes/regenerate-description": {"session_id": "{session}", "scenario": "hook"},
    "POST /api/videos/generate-scenes": {"session_id": "{session}"},
    "POST /api/videos/regenerate-scene": {"session_id": "{session}", "scenario": "hook"},
}
#: routes whose body says nothing
BODILESS = ("POST /api/session/{session}/approve", "POST /api/session/{session}/scenes/hook/approve")
READS = (
    "GET /",
    "GET /static/page.js",
    "GET /api/sessions",
    "GET /api/session/{session}",
    "GET /api/videos/status/{session}",
    "GET /outputs/film.mp4",
)
NOBODY = "00000000-0000-4000-8000-000000000000"
JSON = "application/json"

every_route = pytest.mark.parametrize("route", BODIES)


class Desk:
    """Sends to one route of one house, and knows whether anything happened."""

    def __init__(self, house: House, route: str, session: str) -> None:
        self.house = house
        self.session = session
        self.method, path = route.split()
        self.path = path.format(session=session)
        self.right: dict[str, Any] = json.loads(json.dumps(BODIES[route]).replace("{session}", session))

    async def send(self, body: bytes, content_type: str | None = JSON, **headers: str) -> Answer:
        types = {} if content_type is None else {"Content_Type": content_type}
        return await raw(self.house, self.method, self.path, body, **types, **headers)

    async def say(self, body: Any) -> Answer:
        return await self.send(json.dumps(body).encode())

    async def state(self) -> Any:
        """Everything that a request could have changed."""
        known = await self.house.get(f"/api/session/{self.session}")
        return (await self.house.get("/api/sessions")).json["total"], known.json


@pytest.fixture
async def desk(local: House, route: str) -> Desk:
    return Desk(local, route, await local.session())


# ---------------------------------------------------------------------- bodies


@every_route
async def test_the_right_body_is_accepted(desk: Desk) -> None:
    """The other tests change one thing about these requests."""
    assert (await desk.say(desk.right)).status == 200


@every_route
async def test_bodies_that_are_not_json(desk: Desk, subtests: pytest.Subtests) -> None:
    before = await desk.state()
    bodies: dict[str, bytes] = {
        "empty": b"",
        "blank": b" \r\n\t ",
        "a word": b"hello",
        "cut short": json.dumps(desk.right).encode()[:-1],
        "more after the end": json.dumps(desk.right).encode() + b"}",
        "two bodies": json.dumps(desk.right).encode() * 2,
        "single quotes": str(desk.right).encode(),
        "trailing comma": json.dumps(desk.right).encode()[:-1] + b",}",
        "a comment": b"/* hi */" + json.dumps(desk.right).encode(),
        "a form": b"product=Lamp&session_id=x",
        "UTF-16": json.dumps(desk.right).encode("utf-16"),
        "invalid UTF-8": b'{"product": "caf\xe9", "session_id": "\xff\xfe"}',
        "overlong UTF-8": b'{"product": "\xc0\x80"}',
        "UTF-8 of a surrogate": b'{"product": "\xed\xa0\x80"}',
        "escaped lone surrogate": b'{"product": "\\ud800", "session_id": "\\udfff"}',
        "NUL byte": b'{"product": "a\x00b"}',
        "control character": b'{"product": "a\nb"}',
        "bad escape": b'{"product": "\\x41"}',
        "10,000 arrays": b"[" * 10_000 + b"]" * 10_000,
        "10,000 objects": b'{"product":' * 10_000 + b"1" + b"}" * 10_000,
        "10,000 open arrays": b"[" * 10_000,
        "10,000 arrays in a field": b'{"product": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        "binary": bytes(range(256)),
        "gzip": gzip.compress(json.dumps(desk.right).encode()),
    }
    for name, body in bodies.items():
        with subtests.test(name):
            error = problem(await desk.send(body), 400)
            assert error["error"] == "The body is not valid JSON"
    assert await desk.state() == before


@every_route
async def test_json_that_is_not_an_object(desk: Desk, subtests: pytest.Subtests) -> None:
    before = await desk.state()
    values: list[Any] = [[], [{}], [desk.right], "text", "", 0, -1.5, True, False, None]
    for value in values:
        with subtests.test(repr(value)[:40]):
            problem(await desk.say(value), 422)
    for text in (b"NaN", b"Infinity", b"-Infinity"):
        with subtests.test(text.decode()):
            problem(await desk.send(text), 400, 422)
    assert await desk.state() == before


@every_route
async def test_an_object_without_anything(desk: Desk) -> None:
    problem(await desk.say({}), 422)


@every_route
async def test_other_content_types(desk: Desk, subtests: pytest.Subtests) -> None:
    """A page elsewhere can send forms and plain text without asking, so they are refused."""
    before = await desk.state()
    body = json.dumps(desk.right).encode()
    types = [
        None,
        "",
        "text/plain",
        "text/plain; charset=utf-8",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/xml",
        "application/jsonp",
        "application/json-seq",
        "application",
        "*/*",
        "text/plain, application/json",
        ";application/json",
    ]
    for content_type in types:
        with subtests.test(str(content_type)):
            error = problem(await desk.send(body, content_type), 415)
            assert JSON in error["error"]
    multipart = b'--x\r\nContent-Disposition: form-data; name="product"\r\n\r\nLamp\r\n--x--\r\n'
    problem(await desk.send(multipart, "multipart/form-data; boundary=x"), 415)
    assert await desk.state() == before


@every_route
async def test_no_body_at_all(desk: Desk) -> None:
    problem(await raw(desk.house, desk.method, desk.path), 415)
    problem(await raw(desk.house, desk.method, desk.path, Content_Type=JSON), 400)


@pytest.mark.parametrize("route", [f"POST {CREATE}"])
@pytest.mark.parametrize(
    "content_type",
    ["Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"'],
)
async def test_spellings_of_the_content_type(desk: Desk, content_type: str) -> None:
    assert (await desk.send(json.dumps(desk.right).encode(), content_type)).status == 200


@every_route
async def test_unknown_fields_are_named(desk: Desk, subtests: pytest.Subtests) -> None:
    before = await desk.state()
    for name in (
        "surprise",
        "Session_Id",
        "__proto__",
        "__class__",
        "self",
        "approved ",
        "",
        "détail",
        "a" * 300,
    ):
        with subtests.test(name[:20]):
            error = problem(await desk.say({**desk.right, name: 1}), 422)
            assert name in fields(error)
    assert await desk.state() == before


@every_route
async def test_wrong_types_are_named(desk: Desk, subtests: pytest.Subtests) -> None:
    before = await desk.state()
    for name in desk.right:
        for value in (1, 1.5, True, False, [], ["x"], {}, {"a": 1}):
            with subtests.test(f"{name}: {value!r}"):
                assert fields(problem(await desk.say({**desk.right, name: value}), 422)) == [name]
    assert await desk.state() == before


@every_route
async def test_null_for_what_is_needed(desk: Desk, subtests: pytest.Subtests) -> None:
    for name in desk.right:
        with subtests.test(name):
            problem(await desk.say({**desk.right, name: None}), 422)


@every_route
async def test_a_body_over_the_limit(desk: Desk, subtests: pytest.Subtests) -> None:
    limit = desk.house.settings.server.body_limit_kib << 10
    before = await desk.state()
    body = json.dumps({**desk.right, "surprise": "x" * limit}).encode()
    with subtests.test("with Content-Length"):
        problem(await desk.send(body), 413)
    with subtests.test("chunked"):
        chunks = [body[at : at + 40_000] for at in range(0, len(body), 40_000)]
        coded = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        problem(await desk.send(coded, Transfer_Encoding="chunked"), 413)
    with subtests.test("small until it is unpacked"):
        packed = gzip.compress(json.dumps({**desk.right, "surprise": "x" * 50_000_000}).encode())
        assert len(packed) < limit
        problem(await desk.send(packed, Content_Encoding="gzip"), 413)
    assert await desk.state() == before


@every_route
async def test_a_body_up_to_the_limit(desk: Desk) -> None:
    limit = desk.house.settings.server.body_limit_kib << 10
    body = json.dumps(desk.right).encode()
    assert (await desk.send(body + b" " * (limit - len(body)))).status == 200


def _head(length: int, content_type: str = JSON) -> bytes:
    lines = (
        f"POST {CREATE} HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {content_type}",
        f"Content-Length: {length}",
    )
    return "\r\n".join((*lines, "", "")).encode()


async def test_a_promised_body_over_the_limit_is_not_waited_for(local: House) -> None:
    """The client says how much it is going to send; there is no need to see it."""
    head = _head(99_999_999_999)
    reader, writer = await connect(local, head, b"x" * 300_000)
    async with asyncio.timeout(5):
        assert b" 413 " in await reader.readline()
    writer.close()


async def test_a_body_whose_coding_is_broken(local: House) -> None:
    """The client's mistake: not an error of the server."""
    answer = await raw(local, "POST", CREATE, b"{}", Content_Type=JSON, Content_Encoding="gzip")
    problem(answer, 400)
    # This one ends in aiohttp's parser, before any route is known: only the status is ours to see.
    answer = await raw(local, "POST", CREATE, b"{}", Content_Type=JSON, Content_Encoding="deflate")
    assert answer.status == 400


async def test_a_gzipped_body_is_read(local: House) -> None:
    packed = gzip.compress(b'{"product": "Lamp"}')
    answer = await raw(local, "POST", CREATE, packed, Content_Type=JSON, Content_Encoding="gzip")
    assert answer.status in (200, 415)


async def test_a_client_that_leaves_in_the_middle_of_its_body(local: House) -> None:
    head = _head(100)
    _, writer = await connect(local, head, b'{"product": "Lamp"')
    writer.close()
    await writer.wait_closed()
    assert (await local.get("/api/sessions")).json["total"] == 0


# ---------------------------------------------------------------------- values


def _with(base: Mapping[str, Any], *cases: tuple[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, value in cases:
        yield name, {**base, name: value}


async def refused(
    house: House, path: str, body: Mapping[str, Any], *statuses: int, method: str = "POST"
) -> dict[str, Any]:
    """The error; raw JSON, so that NaN and the like go through."""
    return problem(await raw(house, method, path, json.dumps(body).encode(), Content_Type=JSON), *statuses)


LONG = "x" * 20_000
NEW_SESSION = [
    *_with(
        {"product": "Lamp"},
        ("product", ""),
        ("product", "x" * 501),
        ("product", LONG),
        ("product", "a\x00b"),
        ("audience", 5),
        ("audience", "x" * 501),
        ("audience", "\x00"),
        ("tone", ["calm"]),
        ("tone", LONG),
        ("offer", "free\x00"),
        ("language", ""),
        ("language", None),
        ("language", "english language"),
        ("language", "en\n"),
        ("language", "../../etc"),
        ("language", "e" * 5000),
        ("aspect_ratio", ""),
        ("aspect_ratio", "wide"),
        ("aspect_ratio", "16/9"),
        ("aspect_ratio", "16:9\n"),
        ("aspect_ratio", 1.78),
        ("aspect_ratio", "999999:1"),
        ("seconds_per_scene", "5"),
        ("seconds_per_scene", True),
        ("seconds_per_scene", 0),
        ("seconds_per_scene", -1),
        ("seconds_per_scene", 601),
        ("seconds_per_scene", 1e308),
        ("seconds_per_scene", 10**400),
        ("seconds_per_scene", [5]),
        ("model", ""),
        ("model", 5),
        ("model", "x" * 129),
        ("model", "local:preview@1\x00"),
        ("product_image_url", 5),
        ("product_image_url", "https://example.com/" + "x" * 2000),
        ("product_image_url", "https://example.com/\x00"),
        ("logo_url", ["https://example.com/"]),
    )
]


async def test_values_of_a_new_session(local: House, subtests: pytest.Subtests) -> None:
    for name, body in NEW_SESSION:
        with subtests.test(f"{name}: {str(body[name])[:20]!r}"):
            assert fields(await refused(local, CREATE, body, 422)) == [name]
    assert (await local.get("/api/sessions")).json["total"] == 0


async def test_fields_of_a_brief_that_are_left_out(local: House, subtests: pytest.Subtests) -> None:
    """Forms send empty texts for what nobody filled in; null says the same."""
    for name in ("audience", "tone", "offer", "product_image_url", "logo_url"):
        for value in ("", None):
            with subtests.test(f"{name}: {value!r}"):
                answer = await local.post(CREATE, {"product": "Lamp", name: value})
                assert answer.status == 200
                assert answer.json["brief"][name] is None


async def test_nothing_of_another_type_is_left_out(local: House, subtests: pytest.Subtests) -> None:
    """Only an empty text and null mean "not filled in"; 0, false, [] and {} are mistakes."""
    for name in ("audience", "tone", "offer", "product_image_url", "logo_url"):
        values: list[Any] = [0, False, [], {}]
        for value in values:
            with subtests.test(f"{name}: {value!r}"):
                assert fields(await refused(local, CREATE, {"product": "Lamp", name: value}, 422)) == [name]


async def test_blank_texts_are_empty_texts(local: House, subtests: pytest.Subtests) -> None:
    """Spaces alone are no product; around a text they do not count."""
    for blank in (" ", "  \t ", "\n", "\u00a0\u2003"):
        with subtests.test(f"product {blank!r}"):
            assert fields(await refused(local, CREATE, {"product": blank}, 422)) == ["product"]
        with subtests.test(f"audience {blank!r}"):
            answer = await local.post(CREATE, {"product": "Lamp", "audience": blank})
            assert answer.status == 422 or answer.json["brief"]["audience"] is None
    with subtests.test("instructions"):
        wish = {"session_id": await local.session(), "scenario": "hook", "instructions": "   "}
        await refused(local, "/api/scenes/regenerate-description", wish, 422)
    answer = await local.post(CREATE, {"product": " " * 300 + "Lamp" + " " * 300})
    assert answer.status == 200
    assert answer.json["brief"]["product"] == "Lamp"


async def test_numbers_that_are_none(local: House, subtests: pytest.Subtests) -> None:
    for number in ("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e-400"):
        scene = f'{{"hook": {{"description": "A lamp", "duration": {number}}}}}'
        for field, text in (("seconds_per_scene", number), ("scenes", scene)):
            with subtests.test(f"{field} {number}"):
                body = f'{{"product": "Lamp", "{field}": {text}}}'.encode()
                answer = await raw(local, "POST", CREATE, body, Content_Type=JSON)
                error = problem(answer, 400, 422)
                if answer.status == 422:
                    assert fields(error)[0].endswith(("seconds_per_scene", "duration"))


async def test_a_number_of_thousands_of_digits(local: House) -> None:
    for digits in (400, 4300, 5000, 100_000):
        body = b'{"product": "Lamp", "seconds_per_scene": ' + b"9" * digits + b"}"
        problem(await raw(local, "POST", CREATE, body, Content_Type=JSON), 400, 422)


SCENE_LISTS: Mapping[str, Any] = {
    "empty list": [],
    "empty object": {},
    "null inside": [None],
    "strings in a list name no scenario": ["A lamp"],
    "number": 5,
    "text": "A lamp",
    "no scenario": [{"description": "A lamp"}],
    "unknown scenario": [{"scenario": "intro", "description": "A lamp"}],
    "unknown scenario as a key": {"intro": "A lamp"},
    "empty scenario": {"": "A lamp"},
    "scenario in capitals": {"HOOK": "A lamp"},
    "scenario is a number": [{"scenario": 1, "description": "A lamp"}],
    "scenario is null": [{"scenario": None, "description": "A lamp"}],
    "scenario is a list": [{"scenario": ["hook"], "description": "A lamp"}],
    "scenario with NUL": {"hook\x00": "A lamp"},
    "twice": [{"scenario": "hook", "description": "A"}, {"scenario": "hook", "description": "B"}],
    "five": [{"scenario": "hook", "description": "A"}] * 5,
    "thousands": {f"hook{number}": "A" for number in range(3000)},
    "unknown field": {"hook": {"description": "A lamp", "lens": "50 mm"}},
    "description is a number": {"hook": 5},
    "description is null": {"hook": None},
    "description is null inside": {"hook": {"description": None}},
    "description too long": {"hook": "x" * 10_001},
    "description with NUL": {"hook": "a\x00b"},
    "narration too long": {"hook": {"description": "A lamp", "dialog_narration": LONG}},
    "duration is text": {"hook": {"description": "A lamp", "duration": "5"}},
    "duration is zero": {"hook": {"description": "A lamp", "duration": 0}},
    "duration is negative": {"hook": {"description": "A lamp", "duration": -5}},
    "approved is a word": {"hook": {"description": "A lamp", "approved": "yes"}},
    "approved is a number": {"hook": {"description": "A lamp", "approved": 1}},
    "approved is null": {"hook": {"description": "A lamp", "approved": None}},
}


@pytest.mark.parametrize("path", [CREATE, "/api/videos/generate-scenes"])
async def test_scene_descriptions(local: House, path: str, subtests: pytest.Subtests) -> None:
    for name, scenes in SCENE_LISTS.items():
        with subtests.test(name):
            base = {"product": "Lamp"} if path == CREATE else {}
            error = await refused(local, path, {**base, "scene_descriptions": scenes}, 422)
            assert all(field.startswith("scene_descriptions") for field in fields(error))
    assert (await local.get("/api/sessions")).json["total"] == 0


async def test_the_same_thing_under_two_names(local: House) -> None:
    scenes = {"hook": "A lamp"}
    error = await refused(local, CREATE, {"product": "Lamp", "scenes": scenes, "descriptions": scenes}, 422)
    assert fields(error) == ["descriptions"]


async def test_session_and_descriptions_at_once(local: House) -> None:
    session = await local.session()
    both = {"session_id": session, "scene_descriptions": {"hook": "A lamp"}}
    await refused(local, "/api/videos/generate-scenes", both, 422)
    one = {"session_id": session, "scenario": "hook", "scene_description": "A lamp"}
    await refused(local, "/api/videos/regenerate-scene", one, 422)
    await refused(local, "/api/videos/regenerate-scene", {"scenario": "hook"}, 422)


async def test_many_problems_are_listed_but_not_without_end(local: House) -> None:
    error = await refused(local, CREATE, {f"field{number}": number for number in range(2000)}, 422)
    assert 1 < len(fields(error)) <= 20


UNKNOWN_SCENARIOS = (
    "intro",
    "HOOK",
    "",
    " hook",
    "hook ",
    "hook\n",
    "hook\x00",
    "0",
    "хоок",
    "x" * 64,
    "../cta",
)


@pytest.mark.parametrize("route", ["/api/scenes/regenerate-description", "/api/videos/regenerate-scene"])
async def test_unknown_scenarios(local: House, route: str, subtests: pytest.Subtests) -> None:
    session = await local.session()
    for scenario in UNKNOWN_SCENARIOS:
        with subtests.test(repr(scenario)):
            error = await refused(local, route, {"session_id": session, "scenario": scenario}, 400)
            assert detail(error)["allowed"] == ["hook", "problem", "solution", "cta"]
            assert detail(error)["field"] == "scenario"
    await refused(local, route, {"session_id": session, "scenario": "x" * 65}, 422)


async def test_unknown_scenarios_in_the_path(local: House, subtests: pytest.Subtests) -> None:
    session = await local.session()
    for scenario in ("intro", "HOOK", "%20hook", "hook%00", "%ff", "..%2fhook", "x" * 3000):
        with subtests.test(scenario[:20]):
            path = f"/api/session/{session}/scenes/{scenario}"
            problem(await raw(local, "PUT", path, b'{"description": "A lamp"}', Content_Type=JSON), 400)
            problem(await raw(local, "POST", f"{path}/approve", b""), 400)


# ---------------------------------------------------------------------- ids


IDS = (
    NOBODY,
    "x",
    "0",
    "null",
    "-1",
    "..%2f",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "%00",
    f"{NOBODY}%00",
    "%0d%0aX-Evil:%201",
    "%ff%fe",
    "%ed%a0%80",
    "%F0%9F%92%A1",
    "'%20OR%201=1--",
    "%25",
    "%",
    "*",
    "%2a",
    "{session_id}",
    "a" * 7000,
)


@pytest.mark.parametrize("sort", ["session", "videos/status"])
async def test_unknown_ids(local: House, sort: str, subtests: pytest.Subtests) -> None:
    await local.session()
    for one in IDS:
        for method in ("GET", "HEAD"):
            with subtests.test(f"{method} {one[:40]}"):
                answer = await raw(local, method, f"/api/{sort}/{one}")
                assert "X-Evil" not in answer.headers
                if method == "GET":
                    error = problem(answer, 404)
                    assert len(json.dumps(error)) < 1000
                else:
                    assert (answer.status, answer.body) == (404, b"")


@pytest.mark.parametrize(
    "target", [b"/api/session/" + b"a" * 10_000, b"/api/videos/status/\xff", b"/api/session/a b"]
)
async def test_requests_that_no_parser_takes(local: House, target: bytes) -> None:
    """Refused before any route; still short, plain, and silent about the inside."""
    answer = await raw(local, "GET", target)
    assert answer.status in (400, 414)
    assert len(answer.body) < 1000
    tells_nothing(answer)


async def test_an_expectation_that_nobody_knows(local: House) -> None:
    answer = await raw(local, "POST", CREATE, b"{}", Content_Type=JSON, Expect="the unexpected")
    assert answer.status == 417
    tells_nothing(answer)


STRANGE_IDS = (
    NOBODY,
    "",
    "x",
    "x" * 64,
    "../../etc/passwd",
    "a\x00b",
    "💡",
    "' OR 1=1--",
    "%s",
    "{0}",
    "\r\nX: 1",
)


@pytest.mark.parametrize("route", [route for route, body in BODIES.items() if "session_id" in body])
async def test_unknown_sessions_in_bodies(local: House, route: str, subtests: pytest.Subtests) -> None:
    desk = Desk(local, route, await local.session())
    for one in STRANGE_IDS:
        with subtests.test(repr(one)):
            error = problem(await desk.say({**desk.right, "session_id": one}), 404)
            assert detail(error)["code"] == "not_found"
    error = problem(await desk.say({**desk.right, "session_id": "x" * 65}), 422)
    assert fields(error) == ["session_id"]


@pytest.mark.parametrize("one", [NOBODY, "..%2f", "%00", "x" * 3000])
async def test_unknown_sessions_in_paths(local: House, one: str) -> None:
    path = f"/api/session/{one}"
    edit = b'{"description": "A lamp"}'
    problem(await raw(local, "PUT", f"{path}/scenes/hook", edit, Content_Type=JSON), 404)
    problem(await raw(local, "POST", f"{path}/approve", b""), 404)
    problem(await raw(local, "POST", f"{path}/scenes/hook/approve", b""), 404)


@pytest.mark.parametrize("field", ["limit", "offset"])
async def test_pages_that_do_not_exist(local: House, field: str, subtests: pytest.Subtests) -> None:
    values = ["", "-1", "+1", "1.5", "x", "1e3", "0x1", "%D9%A3", "%C2%B2", "1%00", "1_0", "%20", "9" * 30]
    values += ["99999999999", "9" * 4000, "9" * 5000]
    for value in values:
        with subtests.test(value[:20]):
            error = problem(await raw(local, "GET", f"/api/sessions?{field}={value}"), 400)
            assert detail(error)["field"] == field


# ---------------------------------------------------------------------- methods and paths

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")


async def test_wrong_methods(local: House, subtests: pytest.Subtests) -> None:
    session = await local.session()
    for route in (*BODIES, *BODILESS, *READS):
        right, path = route.split()
        allowed = {"GET", "HEAD"} if right == "GET" else {right}
        if path == CREATE:
            allowed = {"GET", "HEAD", "POST"}  # reads as the session called "create"
        for method in METHODS:
            if method in allowed:
                continue
            with subtests.test(f"{method} {path}"):
                answer = await raw(local, method, path.format(session=session), b"")
                assert set(answer.headers["Allow"].replace(" ", "").split(",")) == allowed
                if method == "HEAD":
                    assert (answer.status, answer.body) == (405, b"")
                else:
                    problem(answer, 405)


UNKNOWN_PATHS = (
    "/nothing",
    "/api",
    "/api/",
    "/api/session",
    "/api/session/",
    "/api/sessions/",
    "/API/sessions",
    "//api/sessions",
    "/api//sessions",
    "/api/session/x/y",
    "/api/session/x/scenes",
    "/api/videos",
    "/api/videos/status",
    "/api/videos/status/",
    "/api/videos/status/x/y",
    "/api/videos/nothing",
    "/favicon.ico",
    "/robots.txt",
    "/.git/config",
    "/static",
    "/static/",
    "/static/nothing.js",
    "/static/index.html",
    "/%2e%2e/",
    "/%C3%BC",
)


async def test_unknown_paths(local: House, subtests: pytest.Subtests) -> None:
    for path in UNKNOWN_PATHS:
        with subtests.test(path):
            problem(await raw(local, "GET", path), 404)
            problem(await raw(local, "POST", path, b""), *((404, 405) if "/static/" in path else (404,)))


async def test_unknown_things_below_health_have_its_shape(local: House) -> None:
    answer = await raw(local, "POST", "/healthz", b"")
    assert (answer.status, set(answer.json)) == (405, {"error"})


# ---------------------------------------------------------------------- faults of our own


VERBS: Mapping[str, tuple[str, str, dict[str, Any] | None]] = {
    "create_session": ("POST", CREATE, {"product": "Lamp"}),
    "session": ("GET", "/api/session/{session}", None),
    "sessions": ("GET", "/api/sessions", None),
    "jobs_of": ("GET", "/api/session/{session}", None),
    "write_descriptions": ("POST", "/api/scenes/generate-descriptions", {"session_id": "{session}"}),
    "rewrite_description": (
        "POST",
        "/api/scenes/regenerate-description",
        {"session_id": "{session}", "scenario": "hook"},
    ),
    "edit_description": ("PUT", "/api/session/{session}/scenes/hook", {"description": "A lamp"}),
    "approve": ("POST", "/api/session/{session}/approve", {}),
    "generate": ("POST", "/api/videos/generate-scenes", {"session_id": "{session}"}),
    "regenerate": ("POST", "/api/videos/regenerate-scene", {"session_id": "{session}", "scenario": "hook"}),
    "job": ("GET", "/api/videos/status/{session}", None),
}


async def _ask(house: House, verb: str, session: str) -> Answer:
    method, path, body = VERBS[verb]
    data = None if body is None else json.dumps(body).replace("{session}", session).encode()
    return await raw(house, method, path.replace("{session}", session), data, Content_Type=JSON)


@pytest.mark.parametrize("verb", VERBS)
async def test_a_fault_inside_tells_nothing(local: House, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await local.session()

    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret-detail /var/lib/secret.db")

    monkeypatch.setattr(Drafts if hasattr(Drafts, verb) else Studio, verb, broken)
    answer = await _ask(local, verb, session)
    error = problem(answer, 500)
    assert b"secret" not in answer.body
    assert detail(error) == {"code": "internal"}
    monkeypatch.undo()
    assert (await local.get(f"/api/session/{session}")).status == 200


@pytest.mark.parametrize("verb", VERBS)
async def test_a_store_that_is_away(local: House, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await local.session()

    def away(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("unable to open /var/lib/secret.db")

    monkeypatch.setattr(TransactionThreads, "run", away)
    answer = await _ask(local, verb, session)
    error = problem(answer, 503)
    assert b"secret" not in answer.body
    assert detail(error) == {"code": "unavailable"}
    assert int(answer.headers["Retry-After"]) > 0
    monkeypatch.undo()
    assert (await local.get(f"/api/session/{session}")).status == 200


async def test_a_database_without_its_tables(local: House) -> None:
    """The real thing: SQLite's own error becomes 503 and says nothing of tables."""
    session = await local.session()
    path = Path(local.settings.database.url.removeprefix("sqlite:///"))
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE sessions RENAME TO gone")
    connection.close()
    for path_of in (f"/api/session/{session}", "/api/sessions"):
        answer = await raw(local, "GET", path_of)
        problem(answer, 503)
        assert b"no such table" not in answer.body
    problem(await raw(local, "POST", CREATE, b'{"product": "Lamp"}', Content_Type=JSON), 503)


async def test_a_database_that_others_keep_locked(
    paid: House, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is charged for what cannot be put on record."""
    session = await paid.session()
    store = paid.service.studio._store
    assert isinstance(store, Database)
    monkeypatch.setattr(store._writes, "run", _locked)
    problem(await paid.post("/api/videos/generate-scenes", {"session_id": session}), 503)
    problem(await paid.post("/api/videos/regenerate-scene", {"session_id": session, "scenario": "hook"}), 503)
    assert wire.submits == []


async def _locked(*_: Any, **__: Any) -> None:
    raise StoreUnavailable("database is locked")


async def test_a_small_limit_is_kept(tmp_path: Path) -> None:
    async with open_house(settings_for(tmp_path, {"server": {"body_limit_kib": 1}})) as house:
        problem(await house.post(CREATE, {"product": "x" * 1100}), 413)
        assert (await house.post(CREATE, {"product": "Lamp"})).status == 200


async def test_requests_in_a_row_after_an_error(local: House) -> None:
    """One connection: an error answer leaves it in order."""
    one = _head(2, "text/plain") + b"{}"
    two = b"GET /api/sessions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    reader, writer = await connect(local, one + two)
    async with asyncio.timeout(5):
        answers = await reader.read()
    writer.close()
    assert answers.startswith(b"HTTP/1.1 415 ")
    assert b"HTTP/1.1 200 OK\r\n" in answers
