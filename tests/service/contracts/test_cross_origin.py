"""Pages of other origins: those on the list may use the service, and see what it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from service.settings import load_settings
from sessions.errors import ConfigError
from tests.house import Answer, House, open_house, settings_for
from tests.service.contracts.kit import detail, exchange, problem, raw
from tests.service.contracts.test_identity import ON, as_user

APP = "https://app.example.com"
DEV = "http://localhost:5173"
CREATE = "/api/session/create"
LIST = "/api/sessions"
JSON = "application/json"
BODY = b'{"product": "Lamp"}'
FOREIGN = (
    "https://evil.example.com",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://app.example.com.evil.org",
    "https://appXexample.com",
    "null",
)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(settings_for(tmp_path, {"server": {"cors_origins": [APP, DEV]}})) as opened:
        yield opened


@pytest.fixture
async def inviting(tmp_path: Path) -> AsyncIterator[House]:
    """Open to every page, with identity on."""
    layer = {"server": {"cors_origins": "*"}}
    async with open_house(settings_for(tmp_path, ON, layer)) as opened:
        yield opened


def invites(answer: Answer, origin: str | None) -> bool:
    return answer.headers.get("Access-Control-Allow-Origin") == origin


def words(header: str) -> set[str]:
    return {word.strip() for word in header.split(",")}


async def preflight(house: House, path: str, origin: str, method: str = "POST", **headers: str) -> Answer:
    return await raw(
        house, "OPTIONS", path, None, Origin=origin, Access_Control_Request_Method=method, **headers
    )


# ---------------------------------------------------------------------- preflights


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/videos/generate-scenes", {"POST"}),
        (LIST, {"GET", "HEAD"}),
        ("/api/session/x", {"GET", "HEAD"}),
        ("/api/session/x/scenes/hook", {"PUT"}),
        ("/outputs/x.mp4", {"GET", "HEAD"}),
    ],
)
async def test_a_preflight_is_answered_from_the_route_table(
    house: House, path: str, methods: set[str]
) -> None:
    answer = await preflight(house, path, APP, Access_Control_Request_Headers="authorization,x-api-key")
    assert (answer.status, answer.body) == (204, b"")
    assert words(answer.headers["Access-Control-Allow-Methods"]) == methods
    assert words(answer.headers["Access-Control-Allow-Headers"]) >= {
        "Authorization",
        "Content-Type",
        "Idempotency-Key",
        "If-None-Match",
        "Last-Event-ID",
        "Prefer",
        "X-API-Key",
        "X-Request-ID",
    }
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    assert invites(answer, APP)
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers["Vary"] == "Origin"


async def test_a_preflight_needs_no_credentials(tmp_path: Path) -> None:
    """Browsers send none."""
    layer: dict[str, Any] = {"server": {"cors_origins": [APP]}, "auth": {**ON["auth"], "open_scenes": False}}
    async with open_house(settings_for(tmp_path, layer)) as house:
        assert (await preflight(house, CREATE, APP)).status == 204
        answer = await raw(house, "GET", LIST, Origin=APP)
        problem(answer, 401)
        assert invites(answer, APP)


async def test_nothing_at_the_address(house: House) -> None:
    answer = await preflight(house, "/api/session/x/nothing", APP)
    problem(answer, 404)
    assert invites(answer, APP)


async def test_options_that_are_no_preflight(house: House) -> None:
    path = "/api/videos/generate-scenes"
    answer = await raw(house, "OPTIONS", path, Origin=APP)
    problem(answer, 405)
    assert words(answer.headers["Allow"]) == {"POST"}
    problem(await raw(house, "OPTIONS", path), 405)


@pytest.mark.parametrize("origin", FOREIGN)
async def test_other_origins_get_no_preflight(house: House, origin: str) -> None:
    answer = await preflight(house, CREATE, origin)
    problem(answer, 403)
    assert invites(answer, None)
    assert "Access-Control-Allow-Methods" not in answer.headers


# ---------------------------------------------------------------------- requests


async def test_a_listed_page_makes_a_session(house: House) -> None:
    for origin in (APP, DEV):
        answer = await raw(house, "POST", CREATE, BODY, Content_Type=JSON, Origin=origin)
        assert answer.status == 200
        assert invites(answer, origin)
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        exposed = words(answer.headers["Access-Control-Expose-Headers"])
        assert exposed >= {"ETag", "Location", "Retry-After", "X-Request-ID", "Idempotency-Replayed"}
        assert exposed >= {"Warning", "Preference-Applied", "Content-Disposition"}


@pytest.mark.parametrize("origin", FOREIGN)
async def test_other_origins_change_nothing_and_see_nothing(house: House, origin: str) -> None:
    answer = await raw(house, "POST", CREATE, BODY, Content_Type=JSON, Origin=origin)
    assert detail(problem(answer, 403))["code"] == "foreign"
    assert invites(answer, None)
    answer = await raw(house, "GET", LIST, Origin=origin)
    assert (answer.status, answer.json["total"]) == (200, 0)
    assert invites(answer, None)
    assert answer.headers["Vary"] == "Origin"


async def test_errors_can_be_read_too(house: House, subtests: pytest.Subtests) -> None:
    asked: list[tuple[str, str, bytes | None, Mapping[str, str], int]] = [
        ("GET", "/api/session/nothing", None, {}, 404),
        ("GET", "/nothing", None, {}, 404),
        ("PUT", CREATE, b"{}", {}, 405),
        ("POST", CREATE, b"{", {"Content_Type": JSON}, 400),
        ("POST", CREATE, b"{}", {"Content_Type": JSON}, 422),
        ("POST", CREATE, b"{}", {"Content_Type": "text/plain"}, 415),
        ("POST", CREATE, b" " * 300_000, {"Content_Type": JSON}, 413),
        ("POST", CREATE, b"{}", {"Expect": "the unexpected"}, 417),
    ]
    for method, path, body, headers, status in asked:
        with subtests.test(f"{method} {path} {status}"):
            answer = await raw(house, method, path, body, Origin=APP, **headers)
            assert answer.status == status
            # An Expect is refused before any page could be looked at.
            assert invites(answer, None if status == 417 else APP)


async def test_a_refusal_for_asking_too_often_can_be_read(tmp_path: Path) -> None:
    layer = {"server": {"cors_origins": [APP]}, "rates": {"reads": 0.001, "reads_burst": 1}}
    async with open_house(settings_for(tmp_path, layer)) as house:
        statuses = []
        for _ in range(2):
            answer = await raw(house, "GET", LIST, Origin=APP)
            statuses.append(answer.status)
        assert statuses == [200, 429]
        assert invites(answer, APP)
        assert "Retry-After" in words(answer.headers["Access-Control-Expose-Headers"])


async def test_streams_and_files_can_be_read_too(house: House) -> None:
    job_id = await house.generate(await house.session())
    job = await house.finished(job_id)
    stream = await house.get(
        f"/api/videos/status/{job_id}", headers={"Accept": "text/event-stream", "Origin": APP}
    )
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    film = await house.get(job["scenes"][0]["video_url"], headers={"Origin": APP, "Range": "bytes=0-9"})
    assert (film.status, len(film.body)) == (206, 10)
    poll = await house.get(f"/api/videos/status/{job_id}", headers={"Origin": APP})
    same = await house.get(
        f"/api/videos/status/{job_id}", headers={"Origin": APP, "If-None-Match": poll.headers["ETag"]}
    )
    assert same.status == 304
    for answer in (stream, film, poll, same):
        assert invites(answer, APP)
        assert answer.headers["Vary"] == "Origin"


async def test_no_origin_no_invitation(house: House) -> None:
    """But a cache learns that the answer depends on it."""
    answer = await raw(house, "GET", LIST)
    assert invites(answer, None)
    assert answer.headers["Vary"] == "Origin"


# ---------------------------------------------------------------------- every page


async def test_every_page_without_cookies(inviting: House) -> None:
    for origin in ("https://anybody.example.com", "null", "chrome-extension://abc"):
        assert (await preflight(inviting, CREATE, origin)).status == 204
        answer = await raw(
            inviting,
            "POST",
            CREATE,
            BODY,
            Content_Type=JSON,
            Origin=origin,
            Authorization=as_user("ann")["Authorization"],
        )
        assert answer.status == 200
        assert invites(answer, "*")
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_nobodys_cookies_are_used_by_every_page(inviting: House) -> None:
    """A browser sends them without asking its user."""
    cookie = f"sb-access-token={as_user('ann')['Authorization'].split()[1]}"
    answer = await raw(
        inviting, "POST", CREATE, BODY, Content_Type=JSON, Origin="https://evil.example.com", Cookie=cookie
    )
    assert detail(problem(answer, 403))["code"] == "foreign"
    own = await raw(inviting, "POST", CREATE, BODY, Content_Type=JSON, Origin=DEV, Cookie=cookie)
    assert own.status == 200


async def test_the_name_in_host_counts_as_ever(inviting: House) -> None:
    lines = (f"GET {LIST} HTTP/1.1", "Host: evil.example.com", f"Origin: {APP}", "Connection: close", "", "")
    problem(await exchange(inviting, "\r\n".join(lines).encode()), 403)


# ---------------------------------------------------------------------- settings


def _origins(given: Any, **auth: Any) -> tuple[str, ...]:
    return load_settings({"server": {"cors_origins": given}, "auth": auth}, environ={}).server.cors_origins


def test_origins_are_kept_as_browsers_write_them() -> None:
    assert _origins(["https://App.Example.com:443", "http://localhost:80"]) == (APP, "http://localhost")
    assert _origins(f"{APP}, {DEV}") == (APP, DEV)  # as the environment has it
    assert _origins(["capacitor://localhost"]) == ("capacitor://localhost",)
    assert _origins([]) == ()


@pytest.mark.parametrize(
    "wrong",
    ["https://app.example.com/", "app.example.com", "null", "https://*.example.com", "https://a@b", "", 5],
)
def test_what_is_no_origin(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"server\.cors_origins"):
        _origins([wrong])


def test_without_authentication_not_everybody_is_invited() -> None:
    with pytest.raises(ConfigError, match="every page could make videos here"):
        _origins("*")
    assert _origins("*", mode="jwt", jwt_secret="x" * 32) == ("*",)
