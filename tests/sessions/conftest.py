from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sessions.database import Database
from tests.sessions.making import database_in


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = database_in(tmp_path)
    await database.open()
    yield database
    await database.close()
