"""429 in the contract's shape; what counts for whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from sessions import api_keys
from sessions.api_keys import Scope
from sessions.clock import utc_now
from sessions.database import Database
from tests.house import House, open_house, settings_for
from tests.service.contracts.kit import connect, detail, problem, raw
from tests.service.contracts.test_identity import ON, as_user

CREATE = "/api/session/create"
LIST = "/api/sessions"
FILE = "/outputs/x.mp4"

#: a token in a quarter of an hour: as good as none during a test
NEVER = 1 / 900

Opened = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """A service with the given limits; the others are off."""

    @asynccontextmanager
    async def opening(*layers: dict[str, Any], **rates: Any) -> AsyncIterator[House]:
        off = {"reads_per_path": 0, "reads": 0, "creates": 0}
        async with open_house(settings_for(tmp_path, *layers, {"rates": {**off, **rates}})) as house:
            yield house

    return opening


async def _statuses(house: House, count: int, method: str, path: str, **how: Any) -> list[int]:
    return [(await house.ask(method, path, **how)).status for _ in range(count)]


async def test_the_refusal_is_the_contracts(opened: Opened) -> None:
    async with opened(reads_per_path=NEVER, reads_per_path_burst=2) as house:
        assert await _statuses(house, 2, "GET", LIST) == [200, 200]
        answer = await raw(house, "GET", LIST, X_Request_ID="my-request-1")
        error = problem(answer, HTTPStatus.TOO_MANY_REQUESTS)
        assert detail(error)["code"] == "too_many"
        assert 890 < int(answer.headers["Retry-After"]) <= 900
        assert answer.headers["X-Request-ID"] == "my-request-1"


async def test_a_part_of_a_second_is_a_whole_one(opened: Opened) -> None:
    async with opened(reads_per_path=2, reads_per_path_burst=1) as house:
        for _ in range(50):
            answer = await house.get(LIST)
            if answer.status == 429:
                break
        assert answer.headers["Retry-After"] == "1"


async def test_each_address_has_its_own_bucket(opened: Opened) -> None:
    async with opened(reads_per_path=NEVER, reads_per_path_burst=3) as house:
        first, second = await house.session(), await house.session()
        for session in (first, second):
            path = f"/api/session/{session}"
            assert await _statuses(house, 4, "GET", path) == [200, 200, 200, 429]
        assert (await house.ask("HEAD", f"/api/session/{first}")).status == 429
        # One address serves several jobs where these are named in the query (document 000).
        assert (await house.get(f"/api/session/{first}?another=1")).status == 200


async def test_what_is_public_is_never_refused(opened: Opened, subtests: pytest.Subtests) -> None:
    limits = {f"{kind}{end}": 1 if end else NEVER for kind in ("reads", "creates") for end in ("", "_burst")}
    async with opened(reads_per_path=NEVER, reads_per_path_burst=1, **limits) as house:
        for path in ("/healthz", "/readyz", "/", "/static/page.js"):
            with subtests.test(path):
                assert await _statuses(house, 5, "GET", path) == [200] * 5
        with subtests.test("a provider's callbacks"):
            statuses = await _statuses(house, 5, "POST", "/callbacks/00000000-0000-4000-8000-000000000000")
            assert set(statuses) == {404}  # of the local renderer's there are none


async def test_a_player_asks_for_parts_of_a_file(opened: Opened) -> None:
    async with opened(reads_per_path=NEVER, reads_per_path_burst=1, reads=NEVER, reads_burst=20) as house:
        assert await _statuses(house, 20, "GET", FILE) == [404] * 20
        assert (await house.get(FILE)).status == 429
        assert (await house.get("/nothing/here")).status == 429  # what there is not counts too


async def test_whatever_changes_something_counts_as_one(opened: Opened) -> None:
    async with opened(creates=NEVER, creates_burst=4) as house:
        session = await house.session()
        scene = f"/api/session/{session}/scenes/hook"
        assert (await house.put(scene, {"description": "A lamp at night"})).status == 200
        assert (await house.post(f"/api/session/{session}/approve", None)).status == 200
        assert (await house.post("/api/scenes/generate-descriptions", {})).status == 422
        problem(await raw(house, "PUT", scene, b"{}", Content_Type="application/json"), 429)
        assert (await house.get(f"/api/session/{session}")).status == 200
        assert (await house.get(LIST)).json["total"] == 1


async def test_a_refused_body_is_not_read(opened: Opened) -> None:
    async with opened(creates=NEVER, creates_burst=1) as house:
        assert (await house.post(CREATE, {"product": "Lamp"})).status == 200
        head = f"POST {CREATE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
        reader, writer = await connect(house, head.encode())
        async with asyncio.timeout(5):  # the body never comes, and the answer does not wait for it
            assert b" 429 " in await reader.readline()
        writer.close()


async def test_a_refused_request_does_not_use_up_its_key(opened: Opened) -> None:
    async with opened(creates=1, creates_burst=1) as house:
        await house.post(CREATE, {"product": "Lamp"})
        status = 429
        while status == 429:
            answer = await house.post(CREATE, {"product": "Tent"}, headers={"Idempotency-Key": "k1"})
            status = answer.status
        assert (answer.status, answer.json["brief"]["product"]) == (200, "Tent")


async def test_known_callers_are_counted_by_name(opened: Opened) -> None:
    async with opened(ON, reads_per_path=NEVER, reads_per_path_burst=2) as house:
        for headers in (as_user("ann"), as_user("ben"), {}):
            assert await _statuses(house, 3, "GET", LIST, headers=headers) == [200, 200, 429]
        other_token = as_user("ann", role="authenticated", iat=1)
        assert (await house.get(LIST, headers=other_token)).status == 429


async def test_a_name_cannot_be_somebody_elses_address(opened: Opened) -> None:
    async with opened(ON, reads_per_path=NEVER, reads_per_path_burst=1) as house:
        assert await _statuses(house, 2, "GET", LIST, headers=as_user("127.0.0.1")) == [200, 429]
        assert (await house.get(LIST)).status == 200


async def test_keys_for_batches_may_create_without_end(opened: Opened) -> None:
    async with opened(
        ON, creates=NEVER, creates_burst=1, reads_per_path=NEVER, reads_per_path_burst=1
    ) as house:
        database = house.service.studio._store
        assert isinstance(database, Database)
        shown = {}
        for scopes in ({Scope.SCENES}, {Scope.SCENES, Scope.BATCH}):
            key, text = api_keys.issue(f"owner {len(scopes)}", label="", scopes=scopes, now=utc_now())
            await database.add_api_key(key)
            shown[len(scopes)] = {"Authorization": f"Bearer {text}"}
        how = {"json": {"product": "Lamp"}}
        assert await _statuses(house, 3, "POST", CREATE, headers=shown[1], **how) == [200, 429, 429]
        assert await _statuses(house, 3, "POST", CREATE, headers=shown[2], **how) == [200, 200, 200]
        assert await _statuses(house, 2, "GET", LIST, headers=shown[2]) == [200, 429]


async def test_without_named_proxies_nobody_can_say_who_they_are(opened: Opened) -> None:
    async with opened(reads_per_path=NEVER, reads_per_path_burst=1) as house:
        assert (await house.get(LIST)).status == 200
        assert (await raw(house, "GET", LIST, X_Forwarded_For="203.0.113.1")).status == 429


async def test_a_proxy_says_who_asks(opened: Opened, subtests: pytest.Subtests) -> None:
    """The last entry is the proxy's own; all before it are whatever the client has sent."""
    seen = [
        ("203.0.113.1", 200),
        ("203.0.113.1", 429),
        ("203.0.113.2", 200),
        ("198.51.100.1, 203.0.113.1", 429),
        ("made up, 203.0.113.3", 200),
        ("2001:db8:1:2::1", 200),
        ("2001:db8:1:2:ffff::9", 429),  # the same house
        ("2001:db8:1:3::1", 200),
        ("[2001:db8:1:3::1]", 429),
        ("::ffff:203.0.113.2", 429),
        ("", 200),  # not from the proxy
        ("", 429),
        ("unknown", 200),
        ("x" * 5000, 200),
    ]
    async with opened(reads_per_path=NEVER, reads_per_path_burst=1, proxies=1) as house:
        for forwarded, status in seen:
            with subtests.test(forwarded[:40]):
                assert (await raw(house, "GET", LIST, X_Forwarded_For=forwarded)).status == status


async def test_two_proxies(opened: Opened) -> None:
    async with opened(reads_per_path=NEVER, reads_per_path_burst=1, proxies=2) as house:
        for forwarded, status in (
            ("203.0.113.1, 10.0.0.1", 200),
            ("203.0.113.1, 10.0.0.2", 429),
            ("203.0.113.2, 10.0.0.1", 200),
        ):
            assert (await raw(house, "GET", LIST, X_Forwarded_For=forwarded)).status == status
