"""Identity on: whoever shows who they are gets what is theirs; somebody else's is not there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jwt
import pytest
from structlog.testing import capture_logs

from service.contracts.files import FilesContract
from service.contracts.idempotency import HEADER
from service.links import Links
from sessions import api_keys
from sessions.api_keys import Scope
from sessions.clock import utc_now
from sessions.database import Database
from tests.house import Answer, House, open_house, settings_for
from tests.service.contracts.kit import raw

SECRET = "a secret that is long enough for HS256"
ON = {"auth": {"mode": "jwt", "jwt_secret": SECRET}}
SCENES = {
    name: {"description": f"A calm {name} shot", "approved": True}
    for name in ("hook", "problem", "solution", "cta")
}


def token(user: str, **claims: Any) -> str:
    body = {"sub": user, "role": "authenticated", "exp": int(time.time()) + 600, **claims}
    return jwt.encode(body, SECRET, algorithm="HS256")


def as_user(user: str, **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(user, **claims)}"}


ANN, BEN = as_user("ann"), as_user("ben")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Identity on, the scenes API open to everybody."""
    async with open_house(settings_for(tmp_path, ON)) as opened:
        yield opened


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[House]:
    """Identity on, and nothing without it."""
    layer = {"auth": {**ON["auth"], "open_scenes": False}}
    async with open_house(settings_for(tmp_path / "closed", layer)) as opened:
        yield opened


async def created(house: House, who: dict[str, str]) -> str:
    answer = await house.post(
        "/api/session/create", {"product": "Lamp", "scene_descriptions": SCENES}, headers=who
    )
    assert answer.status == 200, answer.json
    return str(answer.json["session_id"])


async def filmed(house: House, who: dict[str, str]) -> tuple[str, str, str]:
    """Session, job and one file of somebody, at its plain address."""
    session_id = await created(house, who)
    answer = await house.post("/api/videos/generate-scenes", {"session_id": session_id}, headers=who)
    job_id = str(answer.json["job_id"])
    async with asyncio.timeout(30):
        await house.service.live.until(job_id, lambda snapshot: snapshot.job.closed)
    job = await house.get(f"/api/videos/status/{job_id}", headers=who)
    return session_id, job_id, plain(job.json["scenes"][0]["video_url"])


def plain(address: str) -> str:
    """The address without its signature."""
    return address.partition("?")[0]


def requests(session_id: str, job_id: str, file: str) -> list[tuple[str, str, Any]]:
    """Every request that names something of somebody's."""
    return [
        ("GET", f"/api/session/{session_id}", None),
        ("PUT", f"/api/session/{session_id}/scenes/hook", {"description": "Mine now"}),
        ("POST", f"/api/session/{session_id}/approve", None),
        ("POST", f"/api/session/{session_id}/scenes/hook/approve", None),
        ("POST", "/api/scenes/generate-descriptions", {"session_id": session_id}),
        ("POST", "/api/scenes/regenerate-description", {"session_id": session_id, "scenario": "hook"}),
        ("POST", "/api/videos/generate-scenes", {"session_id": session_id}),
        ("POST", "/api/videos/regenerate-scene", {"session_id": session_id, "scenario": "hook"}),
        ("GET", f"/api/videos/status/{job_id}", None),
        ("GET", f"/api/videos/status/{job_id}?wait=1", None),
        ("POST", f"/api/videos/cancel/{job_id}", None),
        ("POST", f"/api/videos/resume/{job_id}", None),
        ("GET", file, None),
        ("HEAD", file, None),
    ]


async def ask(house: House, request: tuple[str, str, Any], who: dict[str, str]) -> Answer:
    method, path, body = request
    how: dict[str, Any] = {} if body is None else {"json": body}
    return await house.ask(method, path, headers=who, **how)


async def test_what_is_somebody_elses_is_not_there(house: House, subtests: pytest.Subtests) -> None:
    hers = await filmed(house, ANN)
    for stranger in (BEN, {}):
        for request in requests(*hers):
            with subtests.test(f"{request[0]} {request[1]}", known=bool(stranger)):
                assert (await ask(house, request, stranger)).status == 404
    stream = await house.get(f"/api/videos/status/{hers[1]}", headers={**BEN, "Accept": "text/event-stream"})
    assert stream.status == 404
    assert (await house.get(f"/api/session/{hers[0]}", headers=ANN)).json["scene_descriptions"][0][
        "description"
    ] == "A calm hook shot"
    assert (await house.get(hers[2], headers=ANN)).status == 200


async def test_what_is_nobodys_is_for_everybody_who_knows_its_id(house: House) -> None:
    session_id, job_id, file = await filmed(house, {})
    for who in ({}, ANN, BEN):
        assert (await house.get(f"/api/session/{session_id}", headers=who)).status == 200
        assert (await house.get(f"/api/videos/status/{job_id}", headers=who)).status == 200
        assert (await house.get(file, headers=who)).status == 200


async def test_lists_hold_only_what_is_ones_own(house: House) -> None:
    hers, his = await created(house, ANN), await created(house, BEN)
    await created(house, {})
    seen: set[str]
    for who, seen in ((ANN, {hers}), (BEN, {his}), ({}, set())):
        answer = await house.get("/api/sessions", headers=who)
        assert {session["session_id"] for session in answer.json["sessions"]} == seen
        assert answer.json["total"] == len(seen)


async def test_the_same_descriptions_of_two_users_are_two_sessions(house: House) -> None:
    body = {"scene_descriptions": SCENES}
    ids = [
        (await house.post("/api/videos/generate-scenes", body, headers=who)).json["session_id"]
        for who in (ANN, ANN, BEN, {})
    ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


async def test_keys_of_two_users_do_not_meet(house: House) -> None:
    body = {"product": "Lamp"}
    ids = [
        (await house.post("/api/session/create", body, headers={**who, HEADER: "press-1"})).json["session_id"]
        for who in (ANN, ANN, BEN, {})
    ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


async def test_a_writer_at_work_for_somebody_is_not_joined_by_a_stranger(house: House) -> None:
    hers = await created(house, ANN)
    body = {"session_id": hers}
    answers = await asyncio.gather(
        *(house.post("/api/scenes/generate-descriptions", body, headers=who) for who in (ANN, BEN, {}))
    )
    assert [answer.status for answer in answers] == [200, 404, 404]


async def test_the_files_of_running_jobs_are_not_guessed(house: House) -> None:
    """A file that is no take on record is shown to nobody."""
    (house.settings.outputs.dir / "loose.mp4").write_bytes(b"film")
    assert (await house.get("/outputs/loose.mp4", headers=ANN)).status == 404


# ---------------------------------------------------------------------- closed


async def test_where_all_is_closed_nobody_unknown_gets_in(closed: House, subtests: pytest.Subtests) -> None:
    hers = await filmed(closed, ANN)
    everything = [
        *requests(*hers),
        ("GET", "/api/sessions", None),
        ("POST", "/api/session/create", {"product": "Lamp"}),
    ]
    for request in everything:
        with subtests.test(f"{request[0]} {request[1]}"):
            answer = await ask(closed, request, {})
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="scenewright"'
            if request[0] != "HEAD":
                assert answer.json["success"] is False
                assert answer.json["detail"]["code"] == "unauthenticated"
    for path in ("/healthz", "/readyz", "/", "/static/page.js"):
        assert (await closed.get(path)).status == 200


@pytest.mark.parametrize(
    "bad",
    [
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Basic YW5uOmFubg=="},
        {"Authorization": f"Bearer {token('ann', exp=1)}"},
        {"Authorization": f"Bearer {token('ann', role='anon')}"},
        {"X-API-Key": "swk_0000000000000000_" + "0" * 64},
    ],
    ids=["nonsense", "basic", "expired", "anon", "no such key"],
)
async def test_credentials_that_are_not_good_are_refused_even_where_none_are_needed(
    house: House, bad: dict[str, str]
) -> None:
    answer = await house.post("/api/session/create", {"product": "Lamp"}, headers=bad)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="scenewright"')
    assert (await house.get("/api/sessions", headers=ANN)).json["total"] == 0


async def test_a_stale_cookie_locks_nobody_out_of_what_is_open(house: House, closed: House) -> None:
    stale = {"Cookie": f"sb-access-token={token('ann', exp=1)}"}
    fresh = {"Cookie": f"sb-access-token={token('ann')}"}
    assert (await house.get("/api/sessions", headers=stale)).status == 200
    assert (await closed.get("/api/sessions", headers=stale)).status == 401
    assert (await closed.get("/api/sessions", headers=fresh)).status == 200


# ---------------------------------------------------------------------- API keys


async def api_key(house: House, owner: str, *scopes: Scope) -> tuple[dict[str, str], str]:
    key, text = api_keys.issue(owner, label="nightly", scopes=scopes, now=utc_now())
    store = house.service.studio._store
    assert isinstance(store, Database)
    await store.add_api_key(key)
    return {"X-API-Key": text}, key.id


async def test_an_api_key_acts_as_its_owner(closed: House) -> None:
    hers = await created(closed, ANN)
    key, _ = await api_key(closed, "ann", Scope.SCENES)
    assert (await closed.get(f"/api/session/{hers}", headers=key)).status == 200
    stranger, _ = await api_key(closed, "ben", Scope.SCENES)
    assert (await closed.get(f"/api/session/{hers}", headers=stranger)).status == 404


async def test_an_api_key_for_something_else_is_forbidden(house: House) -> None:
    key, _ = await api_key(house, "ann", Scope.ADMIN)
    answer = await house.get("/api/sessions", headers=key)
    assert (answer.status, answer.json["detail"]["code"]) == (403, "forbidden")


# ---------------------------------------------------------------------- signed links

#: no reader of the clock is this far ahead
EXPIRED = timedelta(days=3)


def signing(house: House, *, ahead: timedelta = timedelta()) -> Links:
    """Links that the house takes from now on; its clock for them is ``ahead``."""
    links = Links(bytes(range(32)), hours=24, now=lambda: utc_now() + ahead)
    for route in house.service.app.router.routes():
        contract = getattr(route.handler, "__self__", None)
        if isinstance(contract, FilesContract):
            contract._links = links
    return links


async def linked(house: House) -> tuple[str, str]:
    """The plain address of a file of Ann's, and its link."""
    file = (await filmed(house, ANN))[2]
    return file, signing(house).path(file.removeprefix("/outputs/"), "ann")


@pytest.fixture(params=[True, False], ids=["open", "closed"])
async def either(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    layer = {"auth": {**ON["auth"], "open_scenes": request.param}}
    async with open_house(settings_for(tmp_path, layer)) as opened:
        yield opened


async def test_a_signed_link_needs_nobody_known(either: House) -> None:
    file, link = await linked(either)
    film = await either.get(file, headers=ANN)
    answer, head = await either.get(link), await either.ask("HEAD", link)
    assert (answer.status, answer.body) == (200, film.body)
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(film.body)))
    part = await either.get(link, headers={"Range": "bytes=10-19"})
    assert (part.status, part.body) == (206, film.body[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(film.body)}"
    beyond = await either.get(link, headers={"Range": f"bytes={len(film.body)}-"})
    assert beyond.status == 416
    again = await either.get(link, headers={"If-None-Match": film.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


async def test_credentials_that_are_not_good_do_not_spoil_a_link(
    either: House, subtests: pytest.Subtests
) -> None:
    """A browser sends its cookie unasked, and a page its old token."""
    _, link = await linked(either)
    stale = token("ann", exp=1)
    for bad in (
        {"Cookie": f"sb-access-token={stale}"},
        {"Authorization": f"Bearer {stale}"},
        {"X-API-Key": "swk_0000000000000000_" + "0" * 64},
        BEN,
    ):
        with subtests.test(next(iter(bad))):
            assert (await either.get(link, headers=bad)).status == 200


async def test_a_link_that_is_not_good_is_none(either: House, subtests: pytest.Subtests) -> None:
    """Neither a reason to refuse whoever may see the file, nor one to show it to anybody else."""
    file, link = await linked(either)
    query = link.partition("?")[2]
    exp, sig = (item.partition("=")[2] for item in query.split("&"))
    foreign = Links(bytes(32), hours=24, now=utc_now).path(file.removeprefix("/outputs/"), "ann")
    forged = {
        "later": f"{file}?exp={int(exp) + 43200}&sig={sig}",
        "huge": f"{file}?exp={'9' * 5000}&sig={sig}",
        "negative": f"{file}?exp=-{exp}&sig={sig}",
        "no number": f"{file}?exp=x&sig={sig}",
        "truncated": f"{file}?exp={exp}&sig={sig[:-1]}",
        "upper case": f"{file}?exp={exp}&sig={sig.upper()}",
        "moment twice": f"{file}?exp={exp}&exp={exp}&sig={sig}",
        "signature twice": f"{file}?{query}&sig={sig}",
        "something more": f"{file}?{query}&download=1",
        "other order": f"{file}?sig={sig}&exp={exp}",
        "another secret": foreign,
        "empty": f"{file}?",
        "nothing": file,
    }
    refused = await either.get(file)
    assert refused.status in (401, 404)
    for name, address in forged.items():
        with subtests.test(name):
            for who in ({}, BEN):
                expected = 404 if who else refused.status
                assert (await either.get(address, headers=who)).status == expected
                assert (await either.ask("HEAD", address, headers=who)).status == expected
            assert (await either.get(address, headers=ANN)).status == 200
    assert (await either.get(link)).status == 200


async def test_an_expired_link_is_none(either: House) -> None:
    file, link = await linked(either)
    signing(either, ahead=EXPIRED)
    assert (await either.get(link)).status == (await either.get(file)).status != 200
    assert (await either.get(link, headers=BEN)).status == 404
    assert (await either.get(link, headers=ANN)).status == 200


async def test_a_link_opens_nothing_but_its_file(either: House) -> None:
    session_id, job_id, first = await filmed(either, ANN)
    job = (await either.get(f"/api/videos/status/{job_id}", headers=ANN)).json
    query = signing(either).path(first.removeprefix("/outputs/"), "ann").partition("?")[2]
    assert (await either.get(f"{first}?{query}")).status == 200
    for path in (
        plain(job["scenes"][1]["video_url"]),
        f"/api/videos/status/{job_id}",
        f"/api/session/{session_id}",
    ):
        assert (await either.get(f"{path}?{query}")).status in (401, 404)


async def test_a_link_does_not_open_what_is_no_finished_file(either: House) -> None:
    links = signing(either)
    (either.settings.outputs.dir / "loose.txt").write_bytes(b"secret")
    (either.settings.outputs.dir / "half.mp4.part").write_bytes(b"secret")
    for name in ("loose.txt", "half.mp4.part", "..%2ftest.db", "gone.mp4"):
        query = links.path(unquote(name), "ann").partition("?")[2]
        answer = await raw(either, "GET", f"/outputs/{name}?{query}")
        assert answer.status == 404
        assert b"secret" not in answer.body


async def test_a_link_is_not_logged(house: House) -> None:
    file, link = await linked(house)
    signing(house, ahead=EXPIRED)
    with capture_logs() as logs:
        assert (await house.get(link)).status == 404
    assert file in str(logs)
    assert "sig" not in str(logs)


async def test_off_means_that_no_link_is_looked_at(local: House) -> None:
    (local.settings.outputs.dir / "film.mp4").write_bytes(b"film")
    signing(local)
    assert (await local.get("/outputs/film.mp4?exp=1&sig=x")).body == b"film"


async def test_off_means_that_nobody_is_asked(local: House) -> None:
    session_id = await created(local, ANN)
    assert (await local.get(f"/api/session/{session_id}", headers=BEN)).status == 200
    assert (await local.get("/api/sessions", headers={"Authorization": "Bearer nonsense"})).status == 200
