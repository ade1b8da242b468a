"""Images of users: what comes out is a plain JPEG, whatever was hidden in what came in."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, ImageCms, ImageOps, PngImagePlugin
from PIL import Image as Pictures
from PIL.Image import Image as Picture

from service.media import images
from service.media.images import BadImage, Image, ImageCleaner
from sessions.errors import ConfigError, InvalidInput, MediaError
from tests.media.kit import alive, children, until

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
MANY = "The image has more than 25 megapixels; send a smaller one"
DAMAGED = "The image is damaged or cut short; save it anew and send that"
KIND = "The file is not an image of a kind that is taken; send PNG, JPEG or WebP"


@pytest.fixture
def cleaner() -> ImageCleaner:
    return ImageCleaner(seconds=60)


def file(picture: Picture, kind: str, **options: Any) -> bytes:
    target = BytesIO()
    picture.save(target, kind, **options)
    return target.getvalue()


def plain(mode: str, colour: Any, size: tuple[int, int] = (80, 70)) -> Picture:
    return Pictures.new(mode, size, colour)


def with_palette() -> Picture:
    """Green, the second colour of its palette."""
    picture = plain("P", 1)
    picture.putpalette([*RED, *GREEN, *BLUE])
    return picture


def halves(size: tuple[int, int] = (96, 80)) -> Picture:
    """Red on the left, above it a green beam: no turn of it looks like another."""
    picture = Pictures.new("RGB", size, BLUE)
    picture.paste(RED, (0, 0, size[0] // 2, size[1]))
    picture.paste(GREEN, (0, 0, size[0], size[1] // 4))
    return picture


def opened(image: Image) -> Picture:
    """The picture in it, once it is sure that it is what it says."""
    picture = Pictures.open(BytesIO(image.data), formats=["JPEG"])
    picture.load()
    assert (picture.mode, picture.size) == ("RGB", (image.width, image.height))
    assert image.media_type == "image/jpeg"
    return picture


def near(found: Any, wanted: tuple[int, ...], tolerance: int = 6) -> bool:
    return all(abs(one - other) <= tolerance for one, other in zip(found, wanted, strict=True))


async def refusal(cleaner: ImageCleaner, data: bytes) -> str:
    with pytest.raises(BadImage) as caught:
        await cleaner.cleaned(data)
    assert isinstance(caught.value, InvalidInput)
    assert (caught.value.code, caught.value.details) == ("bad_image", {})
    return caught.value.message


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *chunks: bytes, bits: int = 8, colours: int = 2) -> bytes:
    """A PNG file made by hand; without chunks it has no pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


def rows(width: int, height: int, pixel: bytes) -> bytes:
    return chunk(b"IDAT", zlib.compress((b"\0" + pixel * width) * height))


KINDS: dict[str, tuple[bytes, tuple[int, int, int]]] = {
    "PNG": (file(plain("RGB", RED), "PNG"), RED),
    "PNG, grey": (file(plain("L", 90), "PNG"), (90, 90, 90)),
    "PNG, two colours": (file(plain("1", 1), "PNG"), WHITE),
    "PNG, palette": (file(with_palette(), "PNG"), GREEN),
    "PNG, palette with transparency": (file(with_palette(), "PNG", transparency=1), WHITE),
    "PNG, a colour is transparent": (file(plain("RGB", RED), "PNG", transparency=RED), WHITE),
    "PNG, half transparent": (file(plain("RGBA", (255, 0, 0, 128)), "PNG"), (255, 127, 127)),
    "PNG, hidden behind transparency": (file(plain("RGBA", (9, 9, 9, 0)), "PNG"), WHITE),
    "PNG, grey and half transparent": (file(plain("LA", (0, 128)), "PNG"), (127, 127, 127)),
    "PNG, 16 bits of grey": (file(plain("I;16", 0x8000), "PNG"), (128, 128, 128)),
    "PNG, 16 bits of grey, one transparent": (
        png(80, 70, chunk(b"tRNS", b"\x12\x34"), rows(80, 70, b"\x40\0"), bits=16, colours=0),
        (64, 64, 64),
    ),
    "PNG, 16 bits of colour": (png(80, 70, rows(80, 70, b"\xff\xff\x80\0\0\0"), bits=16), (255, 128, 0)),
    "PNG, 16 bits of colour, one transparent": (
        png(80, 70, chunk(b"tRNS", b"\x12\x34" * 3), rows(80, 70, b"\xff\xff\x80\0\0\0"), bits=16),
        (255, 128, 0),
    ),
    "PNG, 16 bits and alpha": (
        png(80, 70, rows(80, 70, b"\xff\xff\0\0\0\0\0\0"), bits=16, colours=6),
        WHITE,
    ),
    "JPEG": (file(plain("RGB", RED), "JPEG", quality=95), RED),
    "JPEG, progressive": (file(plain("RGB", RED), "JPEG", quality=95, progressive=True), RED),
    "JPEG, grey": (file(plain("L", 90), "JPEG"), (90, 90, 90)),
    "JPEG, CMYK": (file(plain("CMYK", (0, 255, 255, 0)), "JPEG", quality=95), RED),
    "WebP": (file(plain("RGB", BLUE), "WEBP", quality=95), BLUE),
    "WebP, lossless": (file(plain("RGB", BLUE), "WEBP", lossless=True), BLUE),
    "WebP, transparent": (file(plain("RGBA", (0, 0, 255, 0)), "WEBP"), WHITE),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_taken(cleaner: ImageCleaner, kind: str) -> None:
    data, colour = KINDS[kind]
    image = await cleaner.cleaned(data)
    assert (image.width, image.height) == (80, 70)
    assert near(opened(image).getpixel((40, 35)), colour)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
async def test_the_first_picture_of_an_animation(cleaner: ImageCleaner, kind: str) -> None:
    frames = [plain("RGB", colour) for colour in (RED, BLUE, GREEN)]
    moving = file(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
    assert near(opened(await cleaner.cleaned(moving)).getpixel((40, 35)), RED)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_held_as_the_camera_was(cleaner: ImageCleaner, kind: str, subtests: pytest.Subtests) -> None:
    for orientation in range(1, 9):
        with subtests.test(orientation=orientation):
            exif = Pictures.Exif()
            exif[ExifTags.Base.Orientation] = orientation
            data = file(halves(), kind, exif=exif)
            wanted = ImageOps.exif_transpose(Pictures.open(BytesIO(data))).convert("RGB")
            found = opened(await cleaner.cleaned(data))
            assert found.size == wanted.size
            width, height = found.size
            for spot in ((9, 9), (width - 9, 9), (9, height - 9), (width - 9, height - 9)):
                assert near(found.getpixel(spot), wanted.getpixel(spot), 12)  # type: ignore[arg-type]


@pytest.mark.parametrize("broken", [b"", b"rubbish", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff"])
async def test_unreadable_metadata_harm_no_picture(cleaner: ImageCleaner, broken: bytes) -> None:
    data = file(halves(), "JPEG", exif=b"Exif\0\0" + broken)
    assert opened(await cleaner.cleaned(data)).size == (96, 80)


def _with_metadata(kind: str) -> bytes:
    exif = Pictures.Exif()
    exif[ExifTags.Base.Make] = "SECRET-make"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSMapDatum] = "SECRET-place"
    options: dict[str, Any] = {"exif": exif, "xmp": b"<x:xmpmeta>SECRET-xmp</x:xmpmeta>"}
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Author", "SECRET-text", zip=False)
        text.add_itxt("Comment", "SECRET-itxt", zip=False)
        options = {"exif": exif, "pnginfo": text}
    if kind == "JPEG":
        options["comment"] = b"SECRET-comment"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return file(halves(), kind, icc_profile=profile, **options)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_metadata_are_gone(cleaner: ImageCleaner, kind: str) -> None:
    data = _with_metadata(kind)
    assert b"SECRET" in data
    image = await cleaner.cleaned(data)
    for trace in (b"SECRET", b"Exif", b"xmpmeta", b"ICC_PROFILE", b"acsp"):
        assert trace not in image.data
    picture = opened(image)
    assert not picture.getexif()
    assert set(picture.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


HTML = b"<html><script>alert(1)</script></html>"


@pytest.mark.parametrize(
    "data",
    [
        file(halves(), "PNG") + HTML,
        file(halves(), "JPEG") + b"PK\x03\x04" + HTML,
        file(halves(), "JPEG", comment=HTML),
        file(halves(), "WEBP") + HTML,
        png(80, 70, chunk(b"tEXt", b"a\0" + HTML), rows(80, 70, b"\0\0\0")),
    ],
    ids=["PNG", "JPEG and ZIP", "in a comment", "WebP", "in a text of PNG"],
)
async def test_a_second_file_inside_is_gone(cleaner: ImageCleaner, data: bytes) -> None:
    image = await cleaner.cleaned(data)
    assert opened(image)
    assert b"<html>" not in image.data
    assert image.data.endswith(b"\xff\xd9")


@pytest.mark.parametrize(
    "data",
    [
        file(plain("P", 1), "GIF"),
        file(plain("RGB", RED), "TIFF"),
        file(plain("RGB", RED), "BMP"),
        file(plain("RGB", RED), "PDF"),
        file(plain("RGB", RED), "ICO"),
        file(plain("RGB", RED), "PPM"),
        file(plain("RGB", RED), "JPEG2000"),
        b'<svg xmlns="http://www.w3.org/2000/svg" width="80" height="70"/>',
        b"<!DOCTYPE html>" + file(plain("RGB", RED), "PNG"),
        b"%!PS-Adobe-3.0 EPSF-3.0",
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"\0\0\0\x18ftypmp42",
        b"\0" * 100,
        b"P",
    ],
    ids=lambda data: repr(data[:12]),
)
async def test_what_is_no_image_of_those(
    cleaner: ImageCleaner, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_COMMAND", ("/nonexistent",))  # no process is needed to see it
    assert await refusal(cleaner, data) == KIND


async def test_nothing_at_all(cleaner: ImageCleaner) -> None:
    assert await refusal(cleaner, b"") == "The image is empty"


async def test_the_largest_file(cleaner: ImageCleaner) -> None:
    small = ImageCleaner(limit_mib=1, seconds=60)
    whole = file(halves(), "PNG").ljust(1 << 20, b"\0")
    assert opened(await small.cleaned(whole))
    assert await refusal(small, whole + b"\0") == "The image is larger than 1 MiB"
    assert opened(await cleaner.cleaned(whole + b"\0"))


def _damaged() -> dict[str, bytes]:
    found = {}
    for kind in ("PNG", "JPEG", "WEBP"):
        noise = file(Pictures.effect_noise((300, 200), 90).convert("RGB"), kind)
        for part in (0.02, 0.5, 0.9):
            found[f"{kind}, cut at {part}"] = noise[: int(len(noise) * part)]
    photo = file(halves(), "PNG")
    middle = photo.index(b"IDAT") + 9
    return found | {
        "PNG, wrong checksum": photo[:middle] + bytes([photo[middle] ^ 255]) + photo[middle + 1 :],
        "PNG, signature only": b"\x89PNG\r\n\x1a\n",
        "PNG, no pixels": png(80, 70),
        "PNG, pixels that are none": png(80, 70, chunk(b"IDAT", b"rubbish")),
        "PNG, no size": png(0, 0),
        "JPEG, signature only": b"\xff\xd8\xff\xe0",
        "JPEG, then text": b"\xff\xd8\xff" + HTML * 10,
        "WebP, signature only": b"RIFF\x24\0\0\0WEBPVP8 ",
        "WebP, rubbish": b"RIFF\x24\0\0\0WEBPVP8L" + b"\x7f" * 60,
    }


RED_PIXEL = bytes(RED)
DAMAGED_FILES = _damaged()


@pytest.mark.parametrize("how", DAMAGED_FILES)
async def test_damaged_files(cleaner: ImageCleaner, how: str) -> None:
    assert await refusal(cleaner, DAMAGED_FILES[how]) == DAMAGED


def _bombs() -> dict[str, bytes]:
    jpeg = bytearray(file(halves(), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65500, 65500)
    extended = b"VP8X" + struct.pack("<II", 10, 0) + (16382).to_bytes(3, "little") * 2
    lossless = b"VP8L" + struct.pack("<IB", 5, 0x2F) + struct.pack("<I", 16382 | 16382 << 14)
    return {
        "PNG, 144 megapixels": file(Pictures.new("1", (12_000, 12_000)), "PNG"),
        "PNG, 400 megapixels": file(Pictures.new("1", (20_000, 20_000)), "PNG"),
        "PNG, a little more than 25": png(5001, 5000),
        "PNG, the most that fits its header": png(2**31 - 1, 2**31 - 1),
        "PNG, one endless line": png(2**31 - 1, 64),
        "JPEG": bytes(jpeg),
        "WebP, extended": b"RIFF" + struct.pack("<I", 4 + len(extended)) + b"WEBP" + extended,
        "WebP, lossless": b"RIFF" + struct.pack("<I", 4 + len(lossless)) + b"WEBP" + lossless + b"\0" * 16,
    }


BOMBS = _bombs()


@pytest.mark.parametrize("how", BOMBS)
async def test_bombs_are_refused_by_their_headers(cleaner: ImageCleaner, how: str) -> None:
    """Most of these have no pixels: if one were looked for, the files would be called damaged."""
    data = BOMBS[how]
    assert len(data) < 100_000
    assert await refusal(cleaner, data) == MANY


async def test_the_largest_picture(cleaner: ImageCleaner) -> None:
    image = await cleaner.cleaned(file(Pictures.new("L", (5000, 5000), 90), "PNG"))
    assert (image.width, image.height) == (2048, 2048)
    assert near(opened(image).getpixel((1000, 1000)), (90, 90, 90))


async def test_a_text_that_unfolds(cleaner: ImageCleaner) -> None:
    """Pillow gives up on it, or passes over it; 100 MB of text are not kept in either case."""
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 100_000_000))
    assert await refusal(cleaner, png(80, 70, text, rows(80, 70, RED_PIXEL))) == DAMAGED


async def test_too_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_MEMORY_MB", 30)
    monkeypatch.setattr(images, "_MEMORY_MB_PER_MEGAPIXEL", 0)
    data = file(Pictures.new("RGB", (5000, 5000)), "PNG")
    sentence = "The image takes too much memory to read; send a smaller one"
    assert await refusal(ImageCleaner(seconds=60), data) == sentence


SIDES = {
    (1, 1): "The image is 1 x 1 pixels; each side must have at least 64",
    (63, 100): "The image is 63 x 100 pixels; each side must have at least 64",
    (100, 63): "The image is 100 x 63 pixels; each side must have at least 64",
    (100, 3300): "The image is 100 x 3300 pixels; one side must not be more than 32 times the other",
    (3300, 100): "The image is 3300 x 100 pixels; one side must not be more than 32 times the other",
    (64, 64): (64, 64),
    (64, 2048): (64, 2048),
    (2048, 2048): (2048, 2048),
    (2049, 1000): (2048, 1000),
    (4096, 1024): (2048, 512),
    (1000, 3000): (683, 2048),
}


@pytest.mark.parametrize(("sides", "outcome"), SIDES.items(), ids=str)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
async def test_sides(
    cleaner: ImageCleaner, kind: str, sides: tuple[int, int], outcome: str | tuple[int, int]
) -> None:
    data = file(Pictures.new("RGB", sides, RED), kind)
    if isinstance(outcome, str):
        assert await refusal(cleaner, data) == outcome
        return
    image = await cleaner.cleaned(data)
    assert (image.width, image.height) == outcome
    assert opened(image)


def _swapped_profile() -> bytes:
    """sRGB with red and blue exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = (profile.index(tag, 128) + 4 for tag in (b"rXYZ", b"bXYZ"))
    profile[red : red + 8], profile[blue : blue + 8] = profile[blue : blue + 8], profile[red : red + 8]
    return bytes(profile)


@pytest.mark.parametrize(
    ("profile", "mode", "colour", "seen"),
    [
        (_swapped_profile(), "RGB", RED, BLUE),
        (_swapped_profile(), "RGBA", (*RED, 255), BLUE),
        (b"rubbish", "RGB", RED, RED),
        (_swapped_profile(), "L", 90, (90, 90, 90)),
    ],
)
async def test_colours_are_brought_to_srgb(
    cleaner: ImageCleaner, profile: bytes, mode: str, colour: Any, seen: tuple[int, int, int]
) -> None:
    image = await cleaner.cleaned(file(plain(mode, colour), "PNG", icc_profile=profile))
    assert near(opened(image).getpixel((40, 35)), seen)


async def test_equal_files_give_equal_images(cleaner: ImageCleaner) -> None:
    data = file(halves(), "PNG")
    assert await cleaner.cleaned(data) == await cleaner.cleaned(data)


# The process around it. These stand in for the worker:

#: says that it has begun, and answers when it may
HOLD = """
import pathlib, sys, time, os
folder = pathlib.Path(sys.argv[1])
sys.stdin.buffer.read()
(folder / f"began {os.getpid()}").touch()
while not (folder / "go").exists():
    time.sleep(0.005)
print('{"width": 1, "height": 2, "bytes": 3}\\nabc', end="", flush=True)
"""


@pytest.fixture
def acting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Lets a script stand in for the worker."""

    def stand_in(script: str) -> None:
        monkeypatch.setattr(images, "_COMMAND", (sys.executable, "-I", "-c", script, str(tmp_path)))

    return stand_in


async def becomes(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def began(folder: Path) -> set[int]:
    return {int(path.name.split()[1]) for path in folder.glob("began *")}


PNG = file(halves(), "PNG")


async def test_the_loop_goes_on_meanwhile(
    cleaner: ImageCleaner, acting: Callable[[str], None], tmp_path: Path
) -> None:
    """The work ends only after the loop has done something else."""
    acting(HOLD)
    work = asyncio.create_task(cleaner.cleaned(PNG))
    await becomes(lambda: began(tmp_path))
    (tmp_path / "go").touch()
    assert await work == Image(data=b"abc", media_type="image/jpeg", width=1, height=2)


async def test_so_many_at_once(acting: Callable[[str], None], tmp_path: Path) -> None:
    acting(HOLD)
    cleaner = ImageCleaner(at_once=2, seconds=60)
    works = [asyncio.create_task(cleaner.cleaned(PNG)) for _ in range(5)]
    await becomes(lambda: len(began(tmp_path)) == 2)
    assert children(os.getpid()) >= began(tmp_path)
    works.pop(0).cancel()
    works.pop().cancel()
    await becomes(lambda: len(began(tmp_path)) == 3)
    (tmp_path / "go").touch()
    assert [image.data for image in await asyncio.gather(*works)] == [b"abc"] * 3


async def test_cancelling_ends_the_work(
    cleaner: ImageCleaner, acting: Callable[[str], None], tmp_path: Path
) -> None:
    acting(HOLD)
    work = asyncio.create_task(cleaner.cleaned(PNG))
    await becomes(lambda: began(tmp_path))
    (worker,) = began(tmp_path)
    work.cancel()
    await asyncio.wait({work})
    assert work.cancelled()
    assert not alive(worker)


async def test_work_that_never_ends_is_ended(acting: Callable[[str], None], tmp_path: Path) -> None:
    acting(HOLD)
    sentence = "The image took longer than 0.5 seconds to read"
    assert await refusal(ImageCleaner(seconds=0.5), PNG) == sentence


async def test_a_worker_that_does_not_read_is_ended(acting: Callable[[str], None]) -> None:
    acting("import time; time.sleep(600)")
    data = PNG.ljust(5 << 20, b"\0")
    sentence = "The image took longer than 0.5 seconds to read"
    assert await refusal(ImageCleaner(seconds=0.5), data) == sentence


async def test_a_worker_that_crashes(cleaner: ImageCleaner, acting: Callable[[str], None]) -> None:
    acting(f"import os; os.kill(os.getpid(), {signal.SIGSEGV:d})")
    sentence = "The image cannot be read; save it anew and send that"
    assert await refusal(cleaner, PNG) == sentence


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("import nothing_of_that_name", "The image worker ended without an answer."),
        ("import sys; sys.stdin.buffer.read()", "The image worker ended without an answer."),
        ('print(\'{"width": 1, "height": 1, "bytes": 9}\')', "The image worker's answer is not whole."),
    ],
)
async def test_a_worker_that_fails_is_not_the_images_fault(
    cleaner: ImageCleaner, acting: Callable[[str], None], script: str, sentence: str
) -> None:
    acting(script)
    with pytest.raises(MediaError) as caught:
        await cleaner.cleaned(PNG)
    assert (caught.value.code, caught.value.message) == ("internal", sentence)


async def test_what_a_worker_says_is_bounded(
    cleaner: ImageCleaner, acting: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_ANSWER_LIMIT", 1000)
    acting('import sys; print(\'{"width": 1, "height": 1, "bytes": 9000000}\\n\' + "x" * 9000000, end="")')
    with pytest.raises(MediaError, match="not whole"):
        await cleaner.cleaned(PNG)


async def test_the_worker_gets_no_secrets(
    cleaner: ImageCleaner, acting: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCENEWRIGHT_RUNWARE__API_KEY", "secret")
    acting("import json, os; print(json.dumps({'refused': ' '.join(os.environ)}))")
    assert "SCENEWRIGHT" not in await refusal(cleaner, PNG)


def test_the_worker_dies_with_its_parent(tmp_path: Path) -> None:
    order = {"parent": 0, "nice": 0, "memory": 1 << 30}
    # The write end stays open here: nothing but the parent's end can end the worker.
    read, write = os.pipe()
    start = (
        "import os, subprocess, sys, time\n"
        "worker = subprocess.Popen([sys.executable, '-I', '-m', 'service.media.image_worker'], stdin=0)\n"
        "print(os.getpid(), worker.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", start]
    with subprocess.Popen(command, stdin=read, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        own, worker = map(int, parent.stdout.readline().split())
        os.write(write, json.dumps(order | {"parent": own, "nice": 7}).encode() + b"\n")
        until(lambda: os.getpriority(os.PRIO_PROCESS, worker) == 7)
        parent.kill()
    until(lambda: not alive(worker))
    os.close(read)
    os.close(write)


def test_the_service_does_not_load_pillow() -> None:
    look = "import sys, service.media.images; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0


async def test_without_pillow(cleaner: ImageCleaner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "media_missing", lambda: "pillow is not installed")
    with pytest.raises(ConfigError, match="This server cannot take images: pillow is not installed"):
        await cleaner.cleaned(PNG)
