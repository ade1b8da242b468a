"""The outputs folder: what can be seen there is finished."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.storage.outputs import FILE_NAME, Outputs
from sessions.errors import ConfigError, DownloadError
from sessions.model import Scenario

SESSION = "0b0e7f7e-2f51-4a39-9df8-1f2f1c1d8f10"


@pytest.fixture
def outputs(tmp_path: Path) -> Iterator[Outputs]:
    outputs = Outputs(tmp_path / "deep" / "outputs")
    outputs.open()
    yield outputs
    outputs.close()


def _swept(outputs: Outputs, *kept: Path) -> int:
    """How many files the next process sweeps."""
    following = Outputs(outputs.folder)
    try:
        return following.open(keep=kept)
    finally:
        following.close()


def _names(outputs: Outputs) -> set[str]:
    return {file.name for file in outputs.folder.iterdir()}


def test_names_say_session_and_scenario_and_never_repeat(outputs: Outputs) -> None:
    names = {outputs.new_name(SESSION, Scenario.CTA) for _ in range(1000)}
    assert len(names) == 1000
    for name in names:
        assert name.startswith(f"{SESSION}_cta_")
        assert outputs.path(name) == outputs.folder / name


async def test_a_file_appears_whole_under_its_name_and_the_part_is_gone(outputs: Outputs) -> None:
    name = outputs.new_name(SESSION, Scenario.HOOK)
    outputs.part(name).write_bytes(b"film")
    assert not outputs.has(name)
    assert outputs.path(outputs.part(name).name) is None, "an unfinished file is not served"
    await outputs.publish(name)
    assert outputs.has(name)
    assert (outputs.folder / name).read_bytes() == b"film"
    assert _names(outputs) == {name}


async def test_what_was_not_gathered_is_not_published(outputs: Outputs) -> None:
    with pytest.raises(DownloadError) as refused:
        await outputs.publish("a.mp4")
    assert (refused.value.code, refused.value.retryable) == ("storage", True)
    assert _names(outputs) == set()


async def test_a_vanished_folder_comes_back(outputs: Outputs) -> None:
    outputs.folder.rmdir()
    assert not outputs.writable()
    outputs.restore()
    outputs.part("a.mp4").write_bytes(b"film")
    await outputs.publish("a.mp4")
    assert outputs.has("a.mp4")
    assert outputs.writable()


def test_what_stands_in_the_folders_place_stays(outputs: Outputs) -> None:
    outputs.folder.rmdir()
    outputs.folder.write_text("in the way")
    outputs.restore()
    assert outputs.folder.read_text() == "in the way"


def test_opening_sweeps_what_was_left_unfinished_and_nothing_else(outputs: Outputs) -> None:
    kept = outputs.folder / "task.local.part"
    for name in (
        "a.mp4",
        "a.mp4.part",
        "b.local.part",
        "b.local.part.0123.part",
        kept.name,
        ".gitkeep",
        "x.txt",
    ):
        (outputs.folder / name).write_bytes(b"")
    outputs.close()
    assert _swept(outputs, kept) == 3
    assert _names(outputs) == {"a.mp4", kept.name, ".gitkeep", "x.txt"}
    assert _swept(outputs) == 1
    assert _swept(outputs) == 0


def test_a_folder_in_use_is_refused_and_not_swept(outputs: Outputs) -> None:
    outputs.part("a.mp4").write_bytes(b"at work")
    rival = Outputs(outputs.folder)
    for _ in range(2):
        with pytest.raises(ConfigError, match=str(outputs.folder)) as refused:
            rival.open()
        assert refused.value.code == "outputs_in_use"
    assert outputs.part("a.mp4").read_bytes() == b"at work"
    outputs.close()
    assert rival.open() == 1
    rival.close()


def test_a_place_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match=str(folder)):
            Outputs(folder).open()


def test_a_relative_folder_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outputs = Outputs(Path("outputs"))
    monkeypatch.chdir("/")
    outputs.open()
    assert outputs.folder == tmp_path / "outputs"
    assert outputs.folder.is_dir()
    outputs.close()


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".mp4",
        "../a.mp4",
        "..%2fa.mp4",
        "/etc/passwd",
        "a/b.mp4",
        "a\\b.mp4",
        "a.mp4.part",
        "a.part",
        ".hidden.mp4",
        "-a.mp4",
        "a.b.mp4",
        "a.MP4",
        "a.mp4\n",
        "\na.mp4",
        "a\x00.mp4",
        "ä.mp4",
        "١.mp4",  # noqa: RUF001 - a digit elsewhere
        "a .mp4",
        "a" * 201 + ".mp4",
        "scenewright.db",
    ],
)
def test_no_other_name_leads_to_a_file(outputs: Outputs, name: str) -> None:
    assert outputs.path(name) is None
    assert FILE_NAME.fullmatch(name) is None
