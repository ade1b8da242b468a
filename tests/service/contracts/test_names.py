"""There is no authentication, so pages of other sites must not reach the service through a browser."""

from __future__ import annotations

import pytest

from tests.house import House
from tests.service.contracts.kit import detail, exchange, problem, raw

CREATE = "/api/session/create"
BODY = b'{"product": "Lamp"}'
FOREIGN = (
    "example.com",
    "example.com:8420",
    "localhost.example.com",
    "127.0.0.1.example.com",
    "localhost@example.com",
    "example.com:localhost",
    "127.0.0.2",
    "10.0.0.1",
    "[::2]",
    "0.0.0.0",
)


async def _ask(house: House, host: str, method: str = "GET", path: str = "/api/sessions") -> int:
    request = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    answer = await exchange(house, request.encode(), method=method)
    if answer.status == 403:
        assert detail(problem(answer, 403))["code"] == "foreign"
    return answer.status


async def test_other_hosts_are_refused(local: House, subtests: pytest.Subtests) -> None:
    """DNS rebinding: a foreign name that leads to this machine."""
    for host in FOREIGN:
        with subtests.test(host):
            assert await _ask(local, host) == 403


async def test_our_own_names_are_served(local: House, subtests: pytest.Subtests) -> None:
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8420", "[::1]", "[::1]:8420"):
        with subtests.test(host):
            assert await _ask(local, host) == 200


async def test_other_origins_change_nothing(local: House, subtests: pytest.Subtests) -> None:
    origins = [f"http://{host}" for host in FOREIGN if "@" not in host]
    for origin in [*origins, "null", "", "file://", "https://example.com", "chrome-extension://abc"]:
        with subtests.test(origin):
            answer = await raw(local, "POST", CREATE, BODY, Content_Type="application/json", Origin=origin)
            assert detail(problem(answer, 403))["code"] == "foreign"
    assert (await local.get("/api/sessions")).json["total"] == 0


async def test_our_own_origins_are_served(local: House, subtests: pytest.Subtests) -> None:
    for origin in (
        "http://localhost:8420",
        "http://127.0.0.1:8420",
        "http://[::1]:8420",
        "https://localhost",
    ):
        with subtests.test(origin):
            answer = await raw(local, "POST", CREATE, BODY, Content_Type="application/json", Origin=origin)
            assert answer.status == 200


async def test_no_answer_invites_other_origins(local: House) -> None:
    for path in ("/", "/api/sessions", "/api/session/x", "/nothing"):
        answer = await raw(local, "GET", path, Origin="https://example.com")
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
