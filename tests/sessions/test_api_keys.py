"""API keys on record, and the database as those use it who do not own it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command

from sessions import api_keys
from sessions.api_keys import ApiKey, Scope
from sessions.database import Database
from sessions.engines import sqlite_engine
from sessions.errors import ConfigError
from sessions.migrations import _alembic_config
from tests.sessions.making import ODD, a_session, after, database_in, sql


def _key(number: int = 0, **changes: object) -> ApiKey:
    key, _ = api_keys.issue("ann", label="nightly", scopes=[Scope.BATCH, Scope.SCENES], now=after(number))
    return replace(key, **changes)  # type: ignore[arg-type]


async def test_a_key_comes_back_as_it_was(database: Database) -> None:
    plain, odd = _key(), _key(1, owner=ODD, label="", scopes=frozenset(Scope))
    for key in (odd, plain):
        await database.add_api_key(key)
        assert await database.api_key(key.id) == key
    assert await database.api_keys() == [plain, odd], "oldest first"
    assert await database.api_key("nobody's") is None


async def test_a_revoked_key_stays_on_record_with_the_time_of_its_first_revocation(
    database: Database,
) -> None:
    key, other = _key(), _key(1)
    for each in (key, other):
        await database.add_api_key(each)
    revoked = replace(key, revoked_at=after(5))
    assert await database.revoke_api_key(key.id, after(5)) == revoked
    assert await database.revoke_api_key(key.id, after(9)) == revoked
    assert await database.api_keys() == [revoked, other]
    assert await database.revoke_api_key("nobody's", after(5)) is None


# ---------------------------------------------------------------------- beside the owner


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_beside_a_running_owner_single_transactions_work_both_ways(database: Database) -> None:
    beside = Database(f"sqlite:///{database.path}")
    await beside.open_beside()
    keys = [_key(number) for number in range(20)]
    sessions = [a_session() for _ in keys]
    await asyncio.gather(
        *(beside.add_api_key(key) for key in keys),
        *(database.create_session(session) for session in sessions),
    )
    assert await database.api_keys() == await beside.api_keys() == keys
    await beside.close()
    assert (await database.sessions(limit=1, offset=0))[1] == len(sessions)
    with pytest.raises(ConfigError) as refused:
        await Database(f"sqlite:///{database.path}").open()
    assert refused.value.code == "database_in_use", "the lock is still the owner's"


async def test_using_a_database_that_is_not_there_makes_none(tmp_path: Path) -> None:
    database = database_in(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="there is no database"):
        await database.open_beside()
    await database.close()
    assert _files(tmp_path) == []


@pytest.mark.parametrize("revision", [None, "0002", "9999"])
async def test_a_schema_that_is_not_the_newest_is_left_alone(tmp_path: Path, revision: str | None) -> None:
    database = database_in(tmp_path)
    engine = sqlite_engine(database.path, connections=1, begin="BEGIN IMMEDIATE")
    with engine.begin() as connection:
        if revision:
            command.upgrade(_alembic_config(connection), "0002")
            connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")
    engine.dispose()
    with pytest.raises(ConfigError, match=f"has schema {revision or 'empty'}, and .* is needed"):
        await database.open_beside()
    assert sql(database, "SELECT name FROM sqlite_master WHERE name = 'api_keys'") == []
    await database.close()


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    database = database_in(tmp_path)
    database.path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(ConfigError) as refused:
        await database.open_beside()
    assert str(database.path) in refused.value.message
    await database.close()


async def test_who_holds_the_file_for_long_is_waited_for(database: Database) -> None:
    beside = Database(f"sqlite:///{database.path}")
    await beside.open_beside()
    with closing(sqlite3.connect(database.path, isolation_level=None)) as foreign:
        foreign.execute("BEGIN IMMEDIATE")
        adding = asyncio.create_task(beside.add_api_key(_key()))
        assert await database.api_keys() == [], "readers wait for nobody"
        foreign.execute("COMMIT")
    await adding
    assert len(await database.api_keys()) == 1
    await beside.close()
