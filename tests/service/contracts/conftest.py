from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.house import House, open_house, runware_layer, settings_for
from tests.wire.runware_server import RunwareServer


@pytest.fixture
async def paid(tmp_path: Path, wire: RunwareServer) -> AsyncIterator[House]:
    """As everywhere, but no task of the provider's is held any longer once the test is over.

    Only one test here is about stopping with tasks under way.
    """
    async with open_house(settings_for(tmp_path, runware_layer(wire))) as house:
        yield house
        wire.release()
