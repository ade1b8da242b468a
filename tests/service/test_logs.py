"""A log that cannot be written stops no work."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from service.logs import configure_logging
from tests.house import settings_for


@pytest.fixture
def json_log(tmp_path: Path) -> Iterator[None]:
    configure_logging(settings_for(tmp_path, {"log": {"format": "json"}}).log)
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("json_log")
def test_lines_go_wherever_standard_error_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        structlog.get_logger("test").info("moved", to="sent")
        line = json.loads(stream.getvalue())
        assert (line["event"], line["to"], line["level"]) == ("moved", "sent", "info")


class _Broken(io.StringIO):
    def write(self, _text: str) -> int:
        raise BrokenPipeError


@pytest.mark.usefixtures("json_log")
def test_a_reader_that_has_gone_away_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (_Broken(), closed):
        monkeypatch.setattr(sys, "stderr", stream)
        structlog.get_logger("test").warning("unheard")
