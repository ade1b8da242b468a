from __future__ import annotations

import gzip
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from service.media.facts import VideoFacts
from service.media.probe import demux, quick
from sessions.errors import MediaError

Damage = Callable[[bytes], bytes]


def verdict(path: Path, look: Callable[[Path], object]) -> str:
    with pytest.raises(MediaError) as caught:
        look(path)
    assert caught.value.code == "corrupt"
    return caught.value.message


def boxes(data: bytes) -> dict[bytes, tuple[int, int]]:
    """Start and end of the boxes at the top of a file."""
    found, at = {}, 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        found[kind] = (at, at + size)
        at += size
    return found


def without_moov(data: bytes) -> bytes:
    start, end = boxes(data)[b"moov"]
    return data[:start] + data[end:]


def only_index(data: bytes) -> bytes:
    return data[: boxes(data)[b"moov"][1]]


def shrunk(data: bytes) -> bytes:
    """Bytes removed from the middle and the size of their box corrected: only the samples tell."""
    start, end = boxes(data)[b"mdat"]
    smaller = struct.pack(">I", end - start - 1000)
    return data[:start] + smaller + data[start + 4 : end - 1000] + data[end:]


def patched(name: bytes, offset: int, value: int) -> Damage:
    """A number inside the first box of a name replaced."""

    def damage(data: bytes) -> bytes:
        at = data.index(name) + 4 + offset
        return data[:at] + struct.pack(">I", value) + data[at + 4 :]

    return damage


DAMAGED: dict[str, tuple[Damage, str]] = {
    "cut by a byte": (lambda d: d[:-1], "cut short: the samples reach byte"),
    "cut by 1 %": (lambda d: d[: len(d) * 99 // 100], "cut short: the samples reach byte"),
    "cut by half": (lambda d: d[: len(d) // 2], "cut short: the samples reach byte"),
    "cut by 90 %": (lambda d: d[: len(d) // 10], "cut short"),
    "cut in a header": (lambda d: d[:20], "cut short"),
    "only the index": (only_index, "an index but no pictures"),
    "index missing": (without_moov, "no index"),
    "bytes removed": (shrunk, "cut short: the samples reach byte"),
    "HTML": (lambda _: b"<!DOCTYPE html><html>404</html>", "text, perhaps an error page"),
    "JSON": (lambda _: b'\n {"error": "expired"}', "text, perhaps an error page"),
    "empty": (lambda _: b"", "is empty"),
    "random": (lambda _: random.Random(7).randbytes(5000), "neither MP4 nor WebM"),
    "gzip": (gzip.compress, "compressed with gzip"),
    "three bytes": (lambda d: d[:3], "neither MP4 nor WebM"),
    "huge sample count": (patched(b"stsz", 8, 0xFFFFFFFF), "a table of 4294967295 rows"),
    "huge chunk count": (patched(b"stco", 4, 0xFFFFFFFF), "a table of 4294967295 rows"),
    "huge sample": (patched(b"stsz", 12, 0x7FFFFFFF), "cut short: the samples reach byte"),
    "chunk beyond the end": (patched(b"stco", 8, 0xFFFFFFF0), "cut short: the samples reach byte"),
    "box of size 2": (patched(b"trak", -8, 2), "impossible size"),
    "box larger than its parent": (patched(b"mdia", -8, 0x7FFFFFFF), "larger than the whole"),
    "no tracks": (lambda d: d.replace(b"trak", b"skip"), "lists no pictures"),
}


@pytest.mark.parametrize("look", [quick, demux])
@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_recognised(
    name: str, look: Callable[[Path], object], movie: Path, tmp_path: Path
) -> None:
    damage, sentence = DAMAGED[name]
    path = tmp_path / "damaged.mp4"
    path.write_bytes(damage(movie.read_bytes()))
    assert sentence in verdict(path, look)


def test_the_sentence_has_the_numbers(movie: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    size = movie.stat().st_size
    path.write_bytes(movie.read_bytes()[:-10])
    assert verdict(path, quick) == f"The file is cut short: the samples reach byte {size} of {size - 10}."


def test_a_whole_file_passes(movie: Path) -> None:
    structure = quick(movie)
    assert (structure.container, structure.faststart, structure.fragmented) == ("mp4", True, False)
    assert structure.samples > 30
    assert demux(movie) == VideoFacts(
        container="mp4",
        width=256,
        height=144,
        seconds=1.0,
        frames=30,
        fps=30.0,
        video_codec="h264",
        audio_codec="aac",
        faststart=True,
        web_problems=(),
    )
    assert demux(movie).web_ready


def test_rubbish_after_the_end_is_no_damage(movie: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    path.write_bytes(movie.read_bytes() + b"\xff" * 300)
    assert demux(path).frames == 30


def test_fixed_sample_sizes_are_not_taken_for_a_table(movie: Path, tmp_path: Path) -> None:
    """A billion samples of one size need no memory; they only reach far."""
    path = tmp_path / "fixed.mp4"
    data = patched(b"stsz", 4, 0x10000)(movie.read_bytes())
    path.write_bytes(patched(b"stsz", 8, 0x3FFFFFFF)(data))
    assert "cut short: the samples reach byte" in verdict(path, quick)


@pytest.mark.parametrize("size", [8, 16])
def test_endless_rows_of_boxes_end(size: int, tmp_path: Path) -> None:
    path = tmp_path / "boxes.mp4"
    path.write_bytes((struct.pack(">I4s", size, b"free") + bytes(size - 8)) * 200_000)
    assert verdict(path, quick) == "The file has more parts than any video."


def test_boxes_in_boxes_in_boxes_are_not_followed(movie: Path, tmp_path: Path) -> None:
    nest = b""
    for _ in range(5000):
        nest = struct.pack(">I4s", len(nest) + 8, b"trak") + nest
    moov = struct.pack(">I4s", len(nest) + 8, b"moov") + nest
    path = tmp_path / "nest.mp4"
    path.write_bytes(moov + struct.pack(">I4s", 8, b"mdat"))
    assert "lists no pictures" in verdict(path, quick)


def test_mutated_headers_raise_nothing_else(movie: Path, tmp_path: Path) -> None:
    """Whatever is written into the headers, the answer is a structure or a MediaError."""
    chance, whole = random.Random(1), movie.read_bytes()
    end = boxes(whole)[b"moov"][1]
    path = tmp_path / "mutant.mp4"
    for _ in range(500):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 20)):
            data[chance.randrange(end)] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
        path.write_bytes(data)
        with suppress(MediaError):
            quick(path)


def encoded(path: Path, codec: str, options: dict[str, str], **rest: str) -> Path:
    """Thirty pictures of noise, in any container and codec."""
    noise = np.random.default_rng(1)
    with av.open(str(path), "w", options=rest) as container:
        stream = container.add_stream(codec, rate=30, options=options)
        assert isinstance(stream, VideoStream)
        stream.codec_context.width, stream.codec_context.height = 128, 128
        stream.codec_context.pix_fmt = "yuv420p"
        for _ in range(30):
            picture = noise.integers(0, 255, (192, 128), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def webm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("webm") / "clip.webm"
    return encoded(path, "libvpx", {"deadline": "realtime", "cpu-used": "8"})


def test_webm_passes_but_is_not_for_every_browser(webm: Path) -> None:
    facts = demux(webm)
    assert (facts.container, facts.video_codec, facts.audio_codec, facts.faststart) == (
        "webm",
        "vp8",
        None,
        None,
    )
    assert facts.frames == 30
    assert facts.web_problems == ("The container is not MP4.", "The video codec is vp8, not H.264.")


@pytest.mark.parametrize("look", [quick, demux])
@pytest.mark.parametrize("keep", [-1, 0.99, 0.5, 0.1])
def test_cut_webm(keep: float, look: Callable[[Path], object], webm: Path, tmp_path: Path) -> None:
    data = webm.read_bytes()
    path = tmp_path / "cut.webm"
    path.write_bytes(data[: int(keep if keep < 0 else len(data) * keep)])
    assert "cut short: the pictures reach byte" in verdict(path, look)


@pytest.mark.parametrize("size", [4, 5, 20, 30])
def test_webm_header_alone(size: int, webm: Path, tmp_path: Path) -> None:
    path = tmp_path / "head.webm"
    path.write_bytes(webm.read_bytes()[:size])
    assert "header" in verdict(path, quick)


def test_a_cut_live_recording_is_found_by_reading_it(webm: Path, tmp_path: Path) -> None:
    """With "unknown" as the length of the file, only the packets tell."""
    data = webm.read_bytes()
    at = data.index(b"\x18S\x80g") + 4
    path = tmp_path / "live.webm"
    path.write_bytes(data[:at] + b"\x01" + b"\xff" * 7 + data[at + 8 : len(data) // 2])
    quick(path)
    assert "The pictures end after" in verdict(path, demux)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 4096), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert verdict(path, demux) == "The file has no video stream."


def test_index_at_the_end_is_named(tmp_path: Path) -> None:
    facts = demux(encoded(tmp_path / "late.mp4", "libx264", {"preset": "ultrafast"}))
    assert facts.faststart is False
    assert facts.web_problems == ("The index stands at the end of the file.",)


def test_fragmented_files(tmp_path: Path) -> None:
    options = {"preset": "ultrafast", "g": "10"}
    path = encoded(tmp_path / "f.mp4", "libx264", options, movflags="frag_keyframe+empty_moov")
    assert quick(path).fragmented
    assert demux(path).frames == 30
    path.write_bytes(path.read_bytes()[:-1000])
    assert "cut short" in verdict(path, demux)


def test_a_playlist_in_disguise_opens_nothing(movie: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.mp4"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{movie}\n#EXT-X-ENDLIST\n")
    assert "neither MP4 nor WebM" in verdict(path, demux)


def test_names_are_never_taken_for_protocols(
    movie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("concat:ä b|c.mp4")
    path.write_bytes(movie.read_bytes())
    assert demux(path).frames == 30


def test_the_service_side_loads_no_codecs() -> None:
    code = (
        "import sys, service.media.workers, service.media.probe;"
        "print([m for m in ('av', 'numpy', 'PIL', 'service.media.house') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
