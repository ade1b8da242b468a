"""Whose jobs, videos and credits: with identity on the credentials decide, with it off what clients say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.contracts import credits_replies as replies
from sessions.clock import utc_now
from sessions.ledger import Currency
from tests.house import House, open_house, runware_layer, settings_for
from tests.service.contracts.credits_kit import PROMPT, dust, fits, made, ordered, refused, store
from tests.service.contracts.test_identity import ANN, BEN, ON, as_user
from tests.wire.runware_server import RunwareServer, Script

ACCOUNTS = {"credits": {"opening_dust": 100}}


@pytest.fixture
async def known(tmp_path: Path, wire: RunwareServer) -> AsyncIterator[House]:
    """Identity on; everybody has 100 DUST."""
    async with open_house(settings_for(tmp_path, runware_layer(wire), ON, ACCOUNTS)) as house:
        yield house
        wire.release()


def routes(job_id: str, video_id: str) -> list[tuple[str, str, Any]]:
    """Every request that names something of somebody's."""
    return [
        ("GET", f"/videos/jobs/{job_id}/status", None),
        ("GET", f"/videos/jobs/{job_id}/result", None),
        ("DELETE", f"/videos/jobs/{job_id}", None),
        ("GET", f"/videos/{video_id}", None),
        ("PUT", f"/videos/{video_id}", {"is_favorited": True}),
        ("DELETE", f"/videos/{video_id}", None),
        ("GET", f"/videos/{job_id}", None),
        ("DELETE", f"/videos/{job_id}", None),
    ]


async def test_nobody_unknown_gets_in(known: House, subtests: pytest.Subtests) -> None:
    others = [
        ("POST", "/videos/generate", {"prompt": PROMPT}),
        ("POST", "/videos/animate", {}),
        ("GET", "/videos", None),
        ("GET", "/videos/stats", None),
        ("GET", "/videos/credits", None),
        ("GET", "/videos/jobs/active", None),
        ("GET", "/videos?user_id=ann", None),
        ("POST", "/videos/generate", {"prompt": PROMPT, "user_id": "ann"}),
    ]
    for method, path, body in (*routes("x", "y"), *others):
        with subtests.test(f"{method} {path}"):
            answer = await known.ask(method, path, **({} if body is None else {"json": body}))
            error = refused(answer, 401)
            assert error["code"] == "unauthenticated"
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_what_is_somebody_elses_is_not_there(known: House, subtests: pytest.Subtests) -> None:
    job_id = await made(known, who=ANN)
    video_id = (await known.get(f"/videos/{job_id}", headers=ANN)).json["video"]["id"]
    for method, path, body in routes(job_id, video_id):
        with subtests.test(f"{method} {path}"):
            how = {} if body is None else {"json": body}
            refused(await known.ask(method, path, headers=BEN, **how), 404)
    assert (await known.get("/videos", headers=BEN)).json["pagination"]["total"] == 0
    assert (await known.get("/videos", headers=ANN)).json["pagination"]["total"] == 1
    video = (await known.get(f"/videos/{job_id}", headers=ANN)).json["video"]
    assert (video["user_id"], video["is_favorited"]) == ("ann", False)


async def test_a_running_job_of_somebody_else_is_not_cancelled(known: House, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    job_id = await ordered(known, who=ANN)
    refused(await known.ask("DELETE", f"/videos/jobs/{job_id}", headers=BEN), 404)
    active = await known.get("/videos/jobs/active", headers=BEN)
    assert active.json["active_jobs"] == []
    (line,) = (await known.get("/videos/jobs/active", headers=ANN)).json["active_jobs"]
    assert line["job_id"] == job_id


async def test_saying_another_users_id_is_forbidden(known: House, subtests: pytest.Subtests) -> None:
    job_id = await made(known, who=ANN, user_id="ann")
    for method, path, body in (
        ("POST", "/videos/generate", {"prompt": PROMPT, "user_id": "ann"}),
        ("POST", "/videos/animate", {"image_url": "https://x.example.com/x.png", "user_id": "ann"}),
        ("PUT", f"/videos/{job_id}", {"is_favorited": True, "user_id": "ann"}),
        ("GET", "/videos?user_id=ann", None),
        ("GET", "/videos/credits?user_id=ann", None),
        ("GET", "/videos/jobs/active?user_id=ann", None),
        ("GET", f"/videos/jobs/{job_id}/status?user_id=ann", None),
        ("GET", f"/videos/jobs/{job_id}/result?user_id=ann", None),
        ("DELETE", f"/videos/jobs/{job_id}?user_id=ann", None),
        ("GET", f"/videos/{job_id}?user_id=ann", None),
        ("DELETE", f"/videos/{job_id}?user_id=ann", None),
    ):
        with subtests.test(f"{method} {path}"):
            how = {} if body is None else {"json": body}
            error = refused(await known.ask(method, path, headers=BEN, **how), 403)
            assert error["code"] == "forbidden"
    assert (await known.get("/videos?user_id=ann", headers=ANN)).json["pagination"]["total"] == 1


async def test_everybody_pays_for_what_is_theirs(known: House) -> None:
    await made(known, who=ANN)
    assert await dust(known, "ann") == (90, 0)
    for who, available in ((ANN, 90), (BEN, 100)):
        body = fits(await known.get("/videos/credits", headers=who), replies.CreditsBalances)
        assert body["balances"]["dust"] == {"available": available, "held": 0}
        assert body["balances"]["tokens"] == {"available": 0, "held": 0}


async def test_who_has_nothing_is_told_so(known: House) -> None:
    await store(known).grant("cyd", Currency.DUST, -97, note="", now=utc_now(), opening=100)
    cyd = as_user("cyd")
    error = refused(await known.post("/videos/generate", {"prompt": PROMPT}, headers=cyd), 402)
    assert (error["required"], error["available"]) == (10, 3)
    assert error["error"].startswith("Insufficient DUST")
    assert (await known.get("/videos/jobs/active", headers=cyd)).json["count"] == 0


async def test_links_open_without_credentials(known: House, film: bytes) -> None:
    job_id = await made(known, who=ANN)
    video = (await known.get(f"/videos/jobs/{job_id}/result", headers=ANN)).json["video"]
    assert (await known.get(video["url"])).body == film
    assert (await known.get(video["url"].partition("?")[0], headers=BEN)).status == 404


async def test_where_nobody_is_asked_users_are_those_who_are_named(paid: House) -> None:
    hers, nobodys = await made(paid, user_id="ann"), await made(paid)
    assert (await paid.get(f"/videos/jobs/{hers}/status")).status == 200
    assert (await paid.get(f"/videos/jobs/{hers}/status?user_id=ann")).status == 200
    refused(await paid.get(f"/videos/jobs/{hers}/status?user_id=ben"), 404)
    refused(await paid.get(f"/videos/{hers}?user_id=ben"), 404)
    refused(await paid.put(f"/videos/{hers}", {"is_favorited": True, "user_id": "ben"}), 404)
    refused(await paid.ask("DELETE", f"/videos/{hers}?user_id=ben"), 404)
    assert (await paid.get(f"/videos/{nobodys}?user_id=ben")).status == 200
    assert await dust(paid, "ann") == await dust(paid) == (9_990, 0)
