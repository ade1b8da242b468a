"""Every answer names its request; /healthz and /readyz say how the process does."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from sessions.database import Database
from sessions.store import StoreUnavailable
from tests.house import House
from tests.service.contracts.kit import raw, tells_nothing
from tests.wire.runware_server import RunwareServer

PATHS = ("/healthz", "/readyz", "/", "/api/sessions", "/api/session/x", "/nothing", "/outputs/x.mp4")
FRESH = re.compile(r"[0-9a-f]{32}")


async def test_a_sane_id_is_echoed(local: House, subtests: pytest.Subtests) -> None:
    for given in ("12345678", "a-b_c.d-12345", "A" * 64, "0f8fad5b-d9cb-469f-a165-70867728950e"):
        for path in PATHS:
            with subtests.test(f"{path} {given}"):
                answer = await local.get(path, headers={"X-Request-ID": given})
                assert answer.headers.getall("X-Request-ID") == [given]  # type: ignore[attr-defined]


async def test_any_other_id_is_replaced(local: House, subtests: pytest.Subtests) -> None:
    strange: list[Any] = [
        "",
        "short",
        "A" * 65,
        "with space",
        "semi;colon",
        "1234567\t8",
        'quote"quote',
    ]
    strange += [
        "<script>x</script>",
        "slash/slash",
        "%0d%0aX-Evil:1",
        "ümlautümlaut",
        b"latin1\xe9\xe9\xe9",
        "A" * 7000,
    ]
    for given in strange:
        with subtests.test(repr(given)[:30]):
            answer = await raw(local, "GET", "/api/sessions", X_Request_ID=given)
            assert answer.status == 200
            assert FRESH.fullmatch(answer.headers["X-Request-ID"])
            assert "X-Evil" not in answer.headers


async def test_without_an_id_each_request_gets_its_own(local: House) -> None:
    answers = [await local.get(path) for path in PATHS * 2]
    ids = {answer.headers["X-Request-ID"] for answer in answers}
    assert len(ids) == len(answers)
    assert all(FRESH.fullmatch(one) for one in ids)


async def test_two_ids_at_once(local: House) -> None:
    answer = await raw(local, "GET", "/healthz", X_Request_ID="12345678\r\nX-Request-ID: 87654321")
    assert answer.headers["X-Request-ID"] in ("12345678", "87654321")


async def test_errors_carry_the_id_too(local: House) -> None:
    answer = await local.ask(
        "POST", "/api/session/create", data="x", headers={"X-Request-ID": "my-request-1"}
    )
    assert (answer.status, answer.headers["X-Request-ID"]) == (415, "my-request-1")


# ---------------------------------------------------------------------- health


async def test_the_process_lives(local: House) -> None:
    answer = await local.get("/healthz")
    assert (answer.status, answer.json) == (200, {"status": "ok"})
    assert (await local.ask("HEAD", "/healthz")).status == 200


async def test_ready_part_by_part(local: House) -> None:
    answer = await local.get("/readyz")
    assert answer.status == 200
    assert answer.json["status"] == "ok"
    assert list(answer.json["parts"]) == ["database", "outputs", "provider local", "jobs"]
    assert all(part["ok"] and part["detail"] for part in answer.json["parts"].values())


async def test_ready_but_degraded_without_the_provider(paid: House, wire: RunwareServer) -> None:
    """Sessions and finished videos need no provider: the process stays in service."""
    assert (await paid.get("/readyz")).json["parts"]["provider runware"]["ok"] is True
    wire.refuse_connections = True
    await wire.drop_connections()
    answer = await paid.get("/readyz")
    while answer.json["status"] == "ok":  # the SDK has not noticed yet
        answer = await paid.get("/readyz")
    assert (answer.status, answer.json["status"]) == (200, "degraded")
    assert answer.json["parts"]["provider runware"]["ok"] is False
    assert answer.json["parts"]["database"]["ok"] is True
    assert b"test-key" not in answer.body
    tells_nothing(answer)


async def test_draining(local: House) -> None:
    local.service.health.drain()
    answer = await local.get("/readyz")
    assert (answer.status, answer.json["status"]) == (503, "draining")
    assert (await local.get("/healthz")).status == 200
    assert (await local.get("/api/sessions")).status == 200


async def test_not_ready_without_the_database(local: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: Database) -> None:
        raise StoreUnavailable("database is locked")

    monkeypatch.setattr(Database, "ping", away)
    answer = await local.get("/readyz")
    assert (answer.status, answer.json["status"]) == (503, "unready")
    assert answer.json["parts"]["database"] == {"ok": False, "detail": "database is locked"}
    assert (await local.get("/healthz")).status == 200
    monkeypatch.undo()
    assert (await local.get("/readyz")).status == 200


def _overwrite(database: Path) -> None:
    for name in ("", "-wal", "-shm"):
        file = Path(f"{database}{name}")
        if file.exists():
            file.write_bytes(b"not a database, whatever it was before\n" * 300)


async def test_not_ready_when_the_database_file_is_broken(local: House) -> None:
    """A database that answers no question is not "ready" because it can count to one."""
    store = local.service.studio._store
    assert isinstance(store, Database)
    store._readers.dispose()
    store._writer.dispose()
    _overwrite(store.path)
    assert (await local.get("/api/sessions")).status == 503
    answer = await local.get("/readyz")
    assert (answer.status, answer.json["status"]) == (503, "unready")


async def test_not_ready_without_the_outputs_folder(local: House) -> None:
    shutil.rmtree(local.settings.outputs.dir)
    answer = await local.get("/readyz")
    assert (answer.status, answer.json["status"]) == (503, "unready")
    assert answer.json["parts"]["outputs"]["ok"] is False


async def test_readiness_tells_no_paths(local: House) -> None:
    """Anybody who reaches the port can ask."""
    shutil.rmtree(local.settings.outputs.dir)
    answer = await local.get("/readyz")
    assert os.fsencode(local.settings.outputs.dir) not in answer.body


async def test_a_part_that_breaks_is_reported_not_raised(
    local: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page that tells what is wrong must not be what breaks."""

    async def broken(_: Database) -> None:
        raise RuntimeError("secret-detail")

    monkeypatch.setattr(Database, "ping", broken)
    answer = await local.get("/readyz")
    assert answer.status == 503
    assert answer.json["parts"]["database"]["ok"] is False
    assert b"secret" not in answer.body
    assert (await local.get("/healthz")).status == 200
