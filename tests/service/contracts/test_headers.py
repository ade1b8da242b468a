"""What every answer carries, and what only some do."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from tests.house import Answer, House, open_house, settings_for
from tests.service.contracts.kit import exchange, raw

PATHS = ("/healthz", "/", "/static/page.js", "/api/sessions", "/api/session/x", "/nothing", "/outputs/x.mp4")
ID = "my-request-1"


def carries_everything(answer: Answer) -> None:
    headers = answer.headers
    for name, value in (
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Frame-Options", "DENY"),
    ):
        assert headers.getall(name) == [value]  # type: ignore[attr-defined]
    assert len(headers.getall("Content-Security-Policy")) == 1  # type: ignore[attr-defined]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert len(headers.getall("Cache-Control")) == 1  # type: ignore[attr-defined]
    assert headers["X-Request-ID"] == ID
    assert "Strict-Transport-Security" not in headers
    assert not [name for name in headers if name.lower().startswith("access-control")]


async def test_every_answer(local: House, subtests: pytest.Subtests) -> None:
    for path in PATHS:
        for method in ("GET", "HEAD", "PUT", "OPTIONS"):
            with subtests.test(f"{method} {path}"):
                carries_everything(await raw(local, method, path, X_Request_ID=ID))


async def test_refusals_that_no_handler_made(local: House, subtests: pytest.Subtests) -> None:
    lines = {
        "another name": b"GET /api/sessions HTTP/1.1\r\nHost: example.com\r\n",
        "another origin": b"POST /api/session/create HTTP/1.1\r\nHost: localhost\r\nOrigin: https://x.org\r\n",
        "an expectation": b"POST /api/session/create HTTP/1.1\r\nHost: localhost\r\nExpect: the best\r\n",
    }
    for name, head in lines.items():
        with subtests.test(name):
            request = head + b"X-Request-ID: my-request-1\r\nConnection: close\r\n\r\n"
            answer = await exchange(local, request)
            assert answer.status in (403, 417)
            carries_everything(answer)


async def test_streams_and_files(local: House) -> None:
    job_id = await local.generate(await local.session())
    job = await local.finished(job_id)
    address = f"/api/videos/status/{job_id}"
    named = {"X-Request-ID": ID}
    stream = await local.get(address, headers={**named, "Accept": "text/event-stream"})
    film = await local.get(job["scenes"][0]["video_url"], headers=named)
    part = await local.get(job["scenes"][0]["video_url"], headers={**named, "Range": "bytes=0-9"})
    unchanged = await local.get(
        job["scenes"][0]["video_url"], headers={**named, "If-None-Match": film.headers["ETag"]}
    )
    poll = await local.get(address, headers=named)
    assert [it.status for it in (stream, film, part, unchanged, poll)] == [200, 200, 206, 304, 200]
    for answer in (stream, film, part, poll):
        carries_everything(answer)
    # What a 304 does not repeat, the client has.
    assert unchanged.headers["X-Request-ID"] == ID
    assert "Content-Security-Policy" not in unchanged.headers
    # The page that a browser makes around a film has to be able to load it.
    assert film.headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    assert "default-src 'none'" in stream.headers["Content-Security-Policy"]
    assert film.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert poll.headers["Cache-Control"] == stream.headers["Cache-Control"] == "no-cache"


async def test_two_requests_at_once_keep_their_names(local: House) -> None:
    async def asked(name: str) -> str:
        return (await local.get("/api/sessions", headers={"X-Request-ID": name})).headers["X-Request-ID"]

    names = [f"request-{number:04}" for number in range(50)]
    assert await asyncio.gather(*map(asked, names)) == names


async def test_data_is_not_kept_by_caches(local: House) -> None:
    session = await local.session()
    for path in ("/api/sessions", f"/api/session/{session}", "/api/session/x", "/nothing", "/outputs/x.mp4"):
        assert (await local.get(path)).headers["Cache-Control"] == "no-store"
    created = await local.post("/api/session/create", {"product": "Lamp"})
    assert created.headers["Cache-Control"] == "no-store"


async def test_data_is_no_page(local: House) -> None:
    answer = await local.get("/api/sessions")
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "Cross-Origin-Opener-Policy" not in answer.headers


async def test_pages_keep_what_they_have_decided(local: House) -> None:
    page = await local.get("/")
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert page.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    ("public_url", "strict"), [("https://video.example.com", True), ("http://x.org", False)]
)
async def test_https_only_where_it_is_spoken(tmp_path: Path, public_url: str, *, strict: bool) -> None:
    async with open_house(settings_for(tmp_path, {"server": {"public_url": public_url}})) as house:
        for path in ("/", "/api/sessions", "/nothing"):
            said = (await house.get(path)).headers.get("Strict-Transport-Security", "")
            assert bool(re.fullmatch(r"max-age=\d{8}", said)) is strict
