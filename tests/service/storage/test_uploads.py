"""The uploads folder: what was kept can be read until nobody wants it any more."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.storage.uploads import UPLOAD_NAME, Uploads
from sessions.errors import ConfigError, NotFound, ScenewrightError

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[Uploads]:
    uploads = Uploads(tmp_path / "deep" / "uploads")
    uploads.open()
    yield uploads
    uploads.close()


def names(uploads: Uploads) -> set[str]:
    return {file.name for file in uploads.folder.iterdir()}


def kept_at(uploads: Uploads, name: str, when: datetime) -> None:
    os.utime(uploads.folder / name, (when.timestamp(), when.timestamp()))


async def test_what_is_kept_can_be_read(uploads: Uploads) -> None:
    name = await uploads.keep(b"picture")
    assert name == f"{hashlib.sha256(b'picture').hexdigest()}.jpg"
    assert UPLOAD_NAME.fullmatch(name)
    assert await uploads.read(name) == b"picture"
    assert names(uploads) == {name}, "nothing unfinished is left"


async def test_the_next_process_reads_it_too(uploads: Uploads) -> None:
    name = await uploads.keep(b"picture")
    uploads.close()
    following = Uploads(uploads.folder)
    following.open()
    assert await following.read(name) == b"picture"
    following.close()


async def test_the_same_image_is_kept_once(uploads: Uploads) -> None:
    both = await asyncio.gather(*(uploads.keep(b"picture") for _ in range(20)))
    other = await uploads.keep(b"another")
    assert names(uploads) == {*both, other}
    assert len({*both, other}) == 2


@pytest.mark.parametrize(
    "name",
    [
        "0" * 64 + ".jpg",
        "",
        ".",
        "..",
        "../secret.jpg",
        "/etc/passwd",
        "F" * 64 + ".jpg",
        "0" * 64,
        "0" * 64 + ".png",
        "0" * 64 + ".jpg\n",
        "0" * 64 + ".jpg.0123.part",
        "0" * 63 + "/.jpg",
        "0" * 63 + "\0.jpg",
    ],
)
async def test_names_that_were_never_given(uploads: Uploads, name: str) -> None:
    (uploads.folder.parent / "secret.jpg").write_bytes(b"secret")
    (uploads.folder / ("0" * 64 + ".jpg\n")).write_bytes(b"secret")
    with pytest.raises(NotFound, match="There is no such image"):
        await uploads.read(name)


async def test_only_its_owner_can_look_into_the_folder(uploads: Uploads) -> None:
    name = await uploads.keep(b"picture")
    assert uploads.folder.stat().st_mode & 0o777 == 0o700
    assert (uploads.folder / name).stat().st_mode & 0o777 == 0o600


async def test_the_sweep_takes_what_is_old_and_unwanted(uploads: Uploads) -> None:
    wanted, old, young, edge = [await uploads.keep(data) for data in (b"a", b"b", b"c", b"d")]
    (uploads.folder / "note.txt").touch()
    for name in (wanted, old, "note.txt"):
        kept_at(uploads, name, NOW - 2 * DAY)
    kept_at(uploads, young, NOW - DAY / 2)
    kept_at(uploads, edge, NOW - DAY)
    assert await uploads.sweep([wanted, "unknown"], NOW - DAY) == 1
    assert names(uploads) == {wanted, young, edge, "note.txt"}
    assert await uploads.sweep([wanted], NOW - DAY) == 0
    assert await uploads.sweep([], NOW) == 3


async def test_an_image_that_is_kept_again_is_young_again(uploads: Uploads) -> None:
    name = await uploads.keep(b"picture")
    kept_at(uploads, name, datetime(2020, 1, 1, tzinfo=UTC))
    assert await uploads.keep(b"picture") == name
    assert await uploads.sweep([], datetime(2021, 1, 1, tzinfo=UTC)) == 0
    assert await uploads.read(name) == b"picture"


async def test_an_image_that_was_swept_is_kept_again(uploads: Uploads) -> None:
    name = await uploads.keep(b"picture")
    assert await uploads.sweep([], datetime.now(UTC) + DAY) == 1
    with pytest.raises(NotFound):
        await uploads.read(name)
    assert await uploads.keep(b"picture") == name
    assert await uploads.read(name) == b"picture"


async def test_an_image_that_is_kept_while_it_is_swept_is_there_afterwards(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the sweep's look at its age and its removal, somebody brings it again."""
    name = await uploads.keep(b"picture")
    kept_at(uploads, name, NOW - 2 * DAY)
    looked, kept, unlink, utime = threading.Event(), threading.Event(), Path.unlink, os.utime

    def remove(path: Path, *, missing_ok: bool = False) -> None:
        looked.set()
        kept.wait(0.2)  # in vain, unless it is kept too early
        unlink(path, missing_ok=missing_ok)

    def touch(path: Path) -> None:
        utime(path)
        kept.set()

    monkeypatch.setattr(Path, "unlink", remove)
    sweeping = asyncio.create_task(uploads.sweep([], NOW - DAY))
    assert await asyncio.to_thread(looked.wait, 20)
    monkeypatch.setattr(os, "utime", touch)
    assert await uploads.keep(b"picture") == name
    assert await sweeping == 1
    assert await uploads.read(name) == b"picture"


async def test_the_loop_goes_on_while_a_disk_is_slow(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk answers only after the loop has done something else."""
    asked, answered, sync = threading.Event(), threading.Event(), os.fsync

    def slow(descriptor: int) -> None:
        asked.set()
        assert answered.wait(20)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    keeping = asyncio.create_task(uploads.keep(b"picture"))
    assert await asyncio.to_thread(asked.wait, 20)
    assert all(name.endswith(".part") for name in names(uploads)), "seen before it is on disk"
    answered.set()
    assert await uploads.read(await keeping) == b"picture"


async def test_a_disk_that_refuses(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ScenewrightError, match="could not be kept: No space left on device") as caught:
        await uploads.keep(b"picture")
    assert caught.value.code == "storage"
    assert names(uploads) == set()


async def test_a_folder_that_vanished(uploads: Uploads) -> None:
    uploads.folder.rmdir()
    with pytest.raises(ScenewrightError, match="The image could not be kept") as caught:
        await uploads.keep(b"picture")
    assert caught.value.code == "storage"
    with pytest.raises(ScenewrightError, match="The image could not be swept"):
        await uploads.sweep([], NOW)


async def test_opening_removes_what_was_left_unfinished(uploads: Uploads) -> None:
    name = await uploads.keep(b"picture")
    (uploads.folder / f"{name}.0123.part").touch()
    uploads.close()
    uploads.open()
    assert names(uploads) == {name}


async def test_a_folder_in_use_is_refused_and_not_touched(uploads: Uploads) -> None:
    part = uploads.folder / "a.part"
    part.touch()
    rival = Uploads(uploads.folder)
    with pytest.raises(ConfigError, match=str(uploads.folder)) as refused:
        rival.open()
    assert refused.value.code == "uploads_in_use"
    assert part.exists()
    uploads.close()
    rival.open()
    rival.close()


def test_a_place_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=str(tmp_path / "file")):
        Uploads(tmp_path / "file").open()
