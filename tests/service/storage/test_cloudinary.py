"""Videos at Cloudinary: real requests to a server that checks signatures by itself, and misbehaves."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tracemalloc
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from service.sections import CloudinarySettings
from service.settings import load_settings
from service.storage.cloudinary import Cloudinary
from service.storage.mirror import Mirror, MirrorFailed
from sessions.clock import Clock, utc_now
from sessions.errors import ConfigError
from tests.wire.cloudinary import CLOUD, KEY, SECRET, CloudinaryServer, Fault, string_to_sign

MIB = 1 << 20
FILM = bytes(range(256)) * 1200  # 300 KiB
NAME = "550e8400-e29b-41d4-a716-446655440000"
PUBLIC_ID = f"ai_studio/videos/{NAME}"

Opening = Callable[..., AbstractAsyncContextManager[Cloudinary]]


@pytest.fixture
async def server() -> AsyncIterator[CloudinaryServer]:
    async with CloudinaryServer() as server:
        yield server


@pytest.fixture
def opening(server: CloudinaryServer) -> Opening:
    """Opens a mirror; settings may differ."""

    @asynccontextmanager
    async def open_mirror(now: Clock = utc_now, **changes: Any) -> AsyncIterator[Cloudinary]:
        section = {"api_url": server.address, "pause_seconds": 0.001, "request_seconds": 20, **changes}
        mirror = Cloudinary(settings_of(section), now)
        await mirror.open()
        try:
            yield mirror
        finally:
            await mirror.close()

    return open_mirror


@pytest.fixture
async def mirror(opening: Opening) -> AsyncIterator[Cloudinary]:
    async with opening() as opened:
        yield opened


@pytest.fixture
def film(tmp_path: Path) -> Path:
    file = tmp_path / "film.mp4"
    file.write_bytes(FILM)
    return file


def settings_of(section: Mapping[str, Any]) -> CloudinarySettings:
    own = {"enabled": True, "cloud_name": CLOUD, "api_key": KEY, "api_secret": SECRET, **section}
    return load_settings({"cloudinary": own}, environ={}).cloudinary


def write(film: Path, content: bytes) -> None:
    film.write_bytes(content)


def vanish(film: Path) -> None:
    film.unlink(missing_ok=True)


def kept(server: CloudinaryServer) -> bytes:
    """The one video in the cloud."""
    (asset,) = server.assets.values()
    assert asset.public_id == PUBLIC_ID
    return asset.upload.body


def address_of(server: CloudinaryServer) -> str:
    version = server.assets[PUBLIC_ID].version
    return f"{server.delivery}/{CLOUD}/video/upload/v{version}/{PUBLIC_ID}.mp4"


def tries(server: CloudinaryServer) -> int:
    return len(server.requests)


# ---------------------------------------------------------------------- uploads


async def test_a_video_has_the_address_of_the_document(
    server: CloudinaryServer, mirror: Mirror, film: Path
) -> None:
    address = await mirror.upload(film, NAME)
    assert address == address_of(server)
    assert address.startswith(f"https://res.cloudinary.com/{CLOUD}/video/upload/v1")
    assert address.endswith(f"/ai_studio/videos/{NAME}.mp4")
    assert kept(server) == FILM


async def test_what_is_sent(server: CloudinaryServer, opening: Opening, film: Path) -> None:
    moment = datetime.now(UTC)
    async with opening(now=lambda: moment) as mirror:
        await mirror.upload(film, NAME)
    (request,) = server.requests
    signed = {"public_id": PUBLIC_ID, "overwrite": "true", "timestamp": str(int(moment.timestamp()))}
    text = f"overwrite=true&public_id={PUBLIC_ID}&timestamp={signed['timestamp']}"
    assert string_to_sign(request.params) == text
    signature = hashlib.sha1((text + SECRET).encode()).hexdigest()
    assert request.params == {**signed, "api_key": KEY, "signature": signature}
    assert int(request.headers["Content-Length"]) > len(FILM)
    assert "X-Unique-Upload-Id" not in request.headers
    assert SECRET not in str(request)


@pytest.mark.parametrize(
    ("params", "signature"),
    [
        (  # the example of the documentation
            {
                "timestamp": "1315060510",
                "public_id": "sample_image",
                "eager": "w_400,h_300,c_pad|w_260,h_200,c_crop",
            },
            "bfd09f95f331f558cbd1320e67aa8d488770583e",
        ),
        (  # version 2, as Cloudinary's own library makes it
            {"timestamp": "1315060510", "public_id": "a&overwrite=false"},
            "a2a71adda4223ace33e156feae711bb22aff2247",
        ),
    ],
)
async def test_signatures_that_are_known(params: dict[str, str], signature: str) -> None:
    mirror = Cloudinary(settings_of({"api_secret": "abcd"}), utc_now)
    assert mirror._signature(params) == signature


async def test_an_account_that_signs_with_sha256(
    server: CloudinaryServer, opening: Opening, film: Path
) -> None:
    async with opening(signature="sha256") as mirror:
        await mirror.upload(film, NAME)
    assert len(server.requests[0].params["signature"]) == 64
    assert kept(server) == FILM


async def test_a_folder_of_ones_own(server: CloudinaryServer, opening: Opening, film: Path) -> None:
    async with opening(folder="shop") as mirror:
        assert (await mirror.upload(film, NAME)).endswith(f"/shop/{NAME}.mp4")


async def test_what_browsers_get_is_the_file(server: CloudinaryServer, opening: Opening, film: Path) -> None:
    server.delivery = server.address
    async with opening(delivery_url=server.address) as mirror, aiohttp.ClientSession() as browser:
        address = await mirror.upload(film, NAME)
        async with browser.get(address) as answer:
            assert await answer.read() == FILM
        await mirror.remove(NAME)
        async with browser.get(address) as answer:
            assert answer.status == 404


async def test_an_upload_may_be_repeated(server: CloudinaryServer, mirror: Mirror, film: Path) -> None:
    first = await mirror.upload(film, NAME)
    write(film, FILM[::-1])
    assert await mirror.upload(film, NAME) != first
    assert kept(server) == FILM[::-1]


@pytest.mark.parametrize(
    ("size", "ranges"),
    [
        (6 * MIB - 1, [None]),
        (6 * MIB, [None]),
        (6 * MIB + 1, ["bytes 0-6291455/6291457", "bytes 6291456-6291456/6291457"]),
        (12 * MIB, ["bytes 0-6291455/12582912", "bytes 6291456-12582911/12582912"]),
        (
            13 * MIB,
            [
                "bytes 0-6291455/13631488",
                "bytes 6291456-12582911/13631488",
                "bytes 12582912-13631487/13631488",
            ],
        ),
    ],
)
async def test_a_large_file_goes_in_chunks(
    server: CloudinaryServer, opening: Opening, film: Path, size: int, ranges: list[str | None]
) -> None:
    content = os.urandom(size)
    write(film, content)
    async with opening(chunk_mib=6) as mirror:
        assert await mirror.upload(film, NAME) == address_of(server)
    assert kept(server) == content
    assert [request.headers.get("Content-Range") for request in server.requests] == ranges
    assert len({request.headers.get("X-Unique-Upload-Id") for request in server.requests}) == 1
    assert {request.params["public_id"] for request in server.requests} == {PUBLIC_ID}


async def test_a_large_file_needs_little_memory(
    server: CloudinaryServer, opening: Opening, film: Path
) -> None:
    server.keeps_bytes = False
    with film.open("wb") as file:
        file.truncate(60 * MIB)
    async with opening(chunk_mib=20) as mirror:
        tracemalloc.start()
        try:
            await mirror.upload(film, NAME)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert server.assets[PUBLIC_ID].upload.size == 60 * MIB
    assert peak < 8 * MIB, "server and client together"


async def test_not_more_at_once_than_allowed(server: CloudinaryServer, opening: Opening, film: Path) -> None:
    async with opening(parallel=3) as mirror:
        addresses = await asyncio.gather(*(mirror.upload(film, f"job-{number}") for number in range(12)))
    assert len(set(addresses)) == len(server.assets) == 12
    assert server.most_at_work <= 3


@pytest.mark.parametrize(
    "name", ["", "../secret", "a/b", "a.mp4", "a b", "a&overwrite=x", "ä", "a\n", "a" * 201]
)
async def test_a_name_that_is_none_is_not_sent(
    server: CloudinaryServer, mirror: Mirror, film: Path, name: str
) -> None:
    with pytest.raises(ValueError, match="no name"):
        await mirror.upload(film, name)
    with pytest.raises(ValueError, match="no name"):
        await mirror.remove(name)
    assert not tries(server)


# ---------------------------------------------------------------------- what passes is tried again

GOOD = f'{{"secure_url":"https://res.cloudinary.com/c/video/upload/v1/{PUBLIC_ID}.mp4"}}'.encode()

PASSING = {
    "500": Fault(status=500, body=b'{"error":{"message":"Internal error"}}'),
    "502 in HTML": Fault(status=502, body=b"<html>Bad gateway</html>"),
    "503": Fault(status=503),
    "504 after the work": Fault(status=504, stored=True),
    "408": Fault(status=408),
    "420": Fault(status=420, body=b'{"error":{"message":"Rate limited"}}'),
    "429": Fault(status=429, body=b'{"error":{"message":"Too many"}}'),
    "reset": Fault(reset=True),
    "reset after the work": Fault(reset=True, stored=True),
    "no JSON": Fault(body=b"<html>welcome to the hotel</html>"),
    "nothing": Fault(body=b""),
    "no object": Fault(body=b"[]"),
    "deep": Fault(body=b"[" * 100_000),
    "not UTF-8": Fault(body=b"\xff\xfe"),
    "far too long": Fault(body=GOOD + b" " * MIB),
    "an error with a good status": Fault(body=b'{"error":{"message":"?"}}'),
    "no address": Fault(changes={"secure_url": None}),
    "not done": Fault(body=b'{"done":false,"public_id":"x"}'),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
async def test_what_passes_is_tried_again(
    server: CloudinaryServer, mirror: Mirror, film: Path, fault: Fault
) -> None:
    server.faults = [fault, fault]
    assert await mirror.upload(film, NAME) == address_of(server)
    assert kept(server) == FILM
    assert tries(server) == 3


async def test_silence_is_broken_off(server: CloudinaryServer, opening: Opening, film: Path) -> None:
    server.faults = [Fault(silent=True)]
    async with opening(request_seconds=0.3, attempts=50) as mirror:
        assert await mirror.upload(film, NAME) == address_of(server)


async def test_a_server_that_is_not_there(opening: Opening, film: Path) -> None:
    async with opening(api_url="http://127.0.0.1:9", attempts=2) as mirror:
        with pytest.raises(MirrorFailed, match="connection") as failed:
            await mirror.upload(film, NAME)
    assert failed.value.retryable


async def test_trouble_within_a_large_file_starts_it_anew(
    server: CloudinaryServer, opening: Opening, film: Path
) -> None:
    """A piece is not sent twice into the same upload: nobody says what becomes of it there."""
    content = os.urandom(13 * MIB)
    write(film, content)
    server.faults = [None, Fault(reset=True, stored=True), None, None, Fault(status=503)]
    async with opening(chunk_mib=6) as mirror:
        assert await mirror.upload(film, NAME) == address_of(server)
    assert kept(server) == content
    uploads = [request.headers["X-Unique-Upload-Id"] for request in server.requests]
    first, second, third = dict.fromkeys(uploads)
    assert uploads == [first] * 2 + [second] * 3 + [third] * 3


async def test_trouble_that_stays_is_given_up(server: CloudinaryServer, opening: Opening, film: Path) -> None:
    server.faults = [Fault(status=503)] * 9
    async with opening(attempts=4) as mirror:
        with pytest.raises(MirrorFailed, match="503") as failed:
            await mirror.upload(film, NAME)
    assert failed.value.retryable
    assert tries(server) == 4


async def test_pauses_grow_up_to_half_a_minute(
    server: CloudinaryServer, opening: Opening, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.faults = [Fault(status=503)] * 9
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", noted)
    async with opening(attempts=8, pause_seconds=1) as mirror:
        with pytest.raises(MirrorFailed):
            await mirror.upload(film, NAME)
    assert [pause for pause in pauses if pause] == [1, 2, 4, 8, 16, 30, 30]


async def test_others_get_their_turn_while_one_pauses(
    server: CloudinaryServer, opening: Opening, film: Path
) -> None:
    server.faults = [Fault(status=503)]
    async with opening(parallel=1, pause_seconds=3600) as mirror:
        waiting = asyncio.create_task(mirror.upload(film, "waiting"))
        await server.arrived.wait()
        await mirror.upload(film, NAME)
        waiting.cancel()
        await asyncio.wait({waiting})
    assert kept(server) == FILM


async def test_one_that_is_cancelled_leaves_room_for_the_next(
    server: CloudinaryServer, opening: Opening, film: Path
) -> None:
    server.faults = [Fault(silent=True)]
    async with opening(parallel=1) as mirror:
        cancelled = asyncio.create_task(mirror.upload(film, "cancelled"))
        await server.arrived.wait()
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert await mirror.upload(film, NAME) == address_of(server)


# ---------------------------------------------------------------------- what does not pass

FINAL = {
    "400": Fault(status=400, body=b'{"error":{"message":"Video is too\\nlong"}}'),
    "401": Fault(status=401, body=b'{"error":{"message":"unknown api_key"}}'),
    "403": Fault(status=403),
    "404": Fault(status=404, body=b"<html>"),
    "409": Fault(status=409, body=b'{"error":"odd"}'),
    "413": Fault(status=413, body=b'{"error":{"message":7}}'),
    "302": Fault(status=302, headers={"Location": "/elsewhere"}),
    "307": Fault(status=307, headers={"Location": "/elsewhere"}),
    "204": Fault(status=204),
}


@pytest.mark.parametrize(("status", "fault"), FINAL.items(), ids=FINAL)
async def test_what_is_refused_is_not_tried_again(
    server: CloudinaryServer, mirror: Mirror, film: Path, status: str, fault: Fault
) -> None:
    server.faults = [fault]
    with pytest.raises(MirrorFailed, match=status) as failed:
        await mirror.upload(film, NAME)
    assert not failed.value.retryable
    assert "\n" not in str(failed.value)
    assert tries(server) == 1


async def test_the_reason_is_told(server: CloudinaryServer, mirror: Mirror, film: Path) -> None:
    server.faults = [FINAL["400"]]
    with pytest.raises(MirrorFailed, match=r"\(400: Video is too long\)"):
        await mirror.upload(film, NAME)
    write(film, b"")
    with pytest.raises(MirrorFailed, match=r"\(400: Empty file\)"):
        await mirror.upload(film, NAME)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"api_secret": "another"}, "Invalid Signature"),
        ({"api_key": "1234"}, "unknown api_key"),
        ({"cloud_name": "another"}, "Invalid cloud_name"),
    ],
)
async def test_wrong_credentials_are_named(
    opening: Opening, film: Path, wrong: dict[str, str], reason: str
) -> None:
    async with opening(**wrong) as mirror:
        with pytest.raises(MirrorFailed, match=rf"401: {reason}.*check CLOUDINARY_CLOUD_NAME") as failed:
            await mirror.upload(film, NAME)
    assert not failed.value.retryable


async def test_a_clock_that_is_wrong(opening: Opening, film: Path) -> None:
    async with opening(now=lambda: utc_now() - timedelta(hours=2)) as mirror:
        with pytest.raises(MirrorFailed, match="Stale request"):
            await mirror.upload(film, NAME)


async def test_every_try_is_signed_anew(server: CloudinaryServer, opening: Opening, film: Path) -> None:
    """Signatures live for an hour; trouble may last longer."""
    moments = iter(utc_now() - timedelta(hours=2 - number) for number in range(3))
    server.faults = [Fault(status=503), Fault(status=503)]
    async with opening(now=lambda: next(moments)) as mirror:
        assert await mirror.upload(film, NAME) == address_of(server)


async def test_the_secret_is_nowhere(server: CloudinaryServer, opening: Opening, film: Path) -> None:
    """Even where a server repeats it."""
    echo = f'{{"error":{{"message":"{SECRET} of {KEY} is wrong"}}}}'.encode()
    server.faults = [Fault(status=503, body=echo), Fault(status=401, body=echo)]
    with capture_logs() as logs:
        async with opening() as mirror:
            with pytest.raises(MirrorFailed) as failed:
                await mirror.upload(film, NAME)
            assert SECRET not in repr(mirror)
    assert "is wrong" in str(failed.value)
    for secret in (SECRET, KEY):
        assert secret not in str(failed.value) + str(logs)
        assert secret not in repr(failed.value.__cause__) + repr(failed.value.__context__)
    assert SECRET not in str(server.requests)


ADDRESSES = (
    "http://res.cloudinary.com/c/video/upload/v1/{id}.mp4",
    "https://res.cloudinary.com.evil.example/c/video/upload/v1/{id}.mp4",
    "https://evil.example/res.cloudinary.com/{id}.mp4",
    "https://res.cloudinary.com@evil.example/v1/{id}.mp4",
    "https://res.cloudinary.com:444/c/video/upload/v1/{id}.mp4",
    "https://resxcloudinary.com/c/video/upload/v1/{id}.mp4",
    "//res.cloudinary.com/c/video/upload/v1/{id}.mp4",
    "javascript:alert(1)//{id}.mp4",
    "https://res.cloudinary.com/c/video/upload/v1/ai_studio/videos/another.mp4",
    "https://res.cloudinary.com/c/video/upload/v1/{id}.mov",
    "https://res.cloudinary.com/c/video/upload/v1/{id}.mp4?x=1",
    "https://res.cloudinary.com/c/video/upload/v1/{id}.mp4#x",
    "https://res.cloudinary.com/c/video/upload/v1/{id}.mp4\n",
    'https://res.cloudinary.com/c"onerror="x/{id}.mp4',
    "https://res.cloudinary.com/c/<script>/{id}.mp4",
    "https://res.cloudinary.com/c\r\nX: y/{id}.mp4",
    "https://res.cloudinary.com\\@evil.example/{id}.mp4",
    "",
)


@pytest.mark.parametrize("address", ADDRESSES)
async def test_an_address_elsewhere_is_not_believed(
    server: CloudinaryServer, mirror: Mirror, film: Path, address: str
) -> None:
    server.faults = [Fault(changes={"secure_url": address.format(id=PUBLIC_ID)})]
    with pytest.raises(MirrorFailed, match="not expected") as failed:
        await mirror.upload(film, NAME)
    assert not failed.value.retryable
    assert tries(server) == 1


async def test_a_file_that_is_gone(server: CloudinaryServer, mirror: Mirror, film: Path) -> None:
    vanish(film)
    with pytest.raises(MirrorFailed, match="No such file") as failed:
        await mirror.upload(film, NAME)
    assert not failed.value.retryable
    assert not tries(server)


async def test_a_file_that_is_removed_between_two_tries(
    server: CloudinaryServer, opening: Opening, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.faults = [Fault(status=503)]
    sleep = asyncio.sleep

    async def meanwhile(seconds: float) -> None:
        vanish(film)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", meanwhile)
    async with opening() as mirror:
        with pytest.raises(MirrorFailed, match="No such file"):
            await mirror.upload(film, NAME)


async def test_a_file_that_becomes_shorter_while_it_is_sent(
    server: CloudinaryServer, mirror: Mirror, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request cannot be what it has announced; it is not left hanging."""
    sizes = iter((len(FILM) + 10, len(FILM)))
    monkeypatch.setattr("service.storage.cloudinary._size", lambda file: next(sizes))
    assert await mirror.upload(film, NAME) == address_of(server)
    assert kept(server) == FILM


# ---------------------------------------------------------------------- removal


async def test_a_video_is_removed(server: CloudinaryServer, mirror: Mirror, film: Path) -> None:
    await mirror.upload(film, NAME)
    await mirror.remove(NAME)
    assert not server.assets
    request = server.requests[-1]
    assert (request.action, request.params["invalidate"]) == ("destroy", "true")
    await mirror.remove(NAME)  # what is not there is gone


@pytest.mark.parametrize("fault", [Fault(status=500), Fault(reset=True, stored=True), Fault(body=b"{}")])
async def test_a_removal_is_tried_again(
    server: CloudinaryServer, mirror: Mirror, film: Path, fault: Fault
) -> None:
    await mirror.upload(film, NAME)
    server.faults = [fault]
    await mirror.remove(NAME)
    assert not server.assets
    assert tries(server) == 3


async def test_a_removal_that_is_refused(opening: Opening) -> None:
    async with opening(api_secret="another") as mirror:
        with pytest.raises(MirrorFailed, match="401"):
            await mirror.remove(NAME)


# ---------------------------------------------------------------------- settings

DOCUMENT = {
    "CLOUDINARY_CLOUD_NAME": "your_cloud_name",
    "CLOUDINARY_API_KEY": "your_api_key",
    "CLOUDINARY_API_SECRET": "your_api_secret",
    "USE_CLOUDINARY": "true",
}


def test_the_environment_of_the_document() -> None:
    """Document 001, with what else stands there and is none of our business."""
    environ = {**DOCUMENT, "GOOGLE_API_KEY": "AIza-x", "REDIS_URL": "redis://localhost:6379/0"}
    settings = load_settings(environ=environ)
    assert settings == load_settings(environ=DOCUMENT)
    found = settings.cloudinary
    assert (found.enabled, found.cloud_name, found.api_key) == (True, "your_cloud_name", "your_api_key")
    assert found.api_secret is not None
    assert found.api_secret.get_secret_value() == "your_api_secret"
    assert "your_api_secret" not in repr(settings) + settings.model_dump_json()


@pytest.mark.parametrize(
    ("word", "enabled"),
    [("true", True), ("True", True), ("1", True), ("yes", True), ("false", False), ("0", False), ("", False)],
)
def test_whether_it_is_used(word: str, enabled: bool) -> None:
    assert load_settings(environ={**DOCUMENT, "USE_CLOUDINARY": word}).cloudinary.enabled is enabled


def test_without_the_word_it_is_off() -> None:
    environ = {name: value for name, value in DOCUMENT.items() if name != "USE_CLOUDINARY"}
    assert not load_settings(environ=environ).cloudinary.enabled


def test_our_own_names_win() -> None:
    environ = {"SCENEWRIGHT_CLOUDINARY__CLOUD_NAME": "ours", **DOCUMENT}
    assert load_settings(environ=environ).cloudinary.cloud_name == "ours"


@pytest.mark.parametrize("name", [name for name in DOCUMENT if name != "USE_CLOUDINARY"])
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings(environ={**DOCUMENT, name: ""})
    assert refused.value.message.startswith("cloudinary: ")
    assert [word for word in DOCUMENT if word in refused.value.message] == [name]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("api_url", "http://api.cloudinary.com"),
        ("api_url", "ftp://api.cloudinary.com"),
        ("delivery_url", "http://res.cloudinary.com"),
        ("delivery_url", "https://res.cloudinary.com/"),
        ("cloud_name", "a/b"),
        ("api_key", "a b"),
        ("folder", "/videos"),
        ("folder", "videos/../.."),
        ("folder", ""),
        ("chunk_mib", 5),
        ("signature", "md5"),
    ],
)
def test_a_setting_that_cannot_be(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings({"cloudinary": {key: value}}, environ={})
    assert refused.value.message.startswith(f"cloudinary.{key}: ")
