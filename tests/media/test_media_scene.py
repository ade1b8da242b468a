from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from service.media.planes import GREY, planes
from service.media.probe import demux
from service.media.scene import render_scene
from service.media.spec import SceneSpec
from sessions.errors import MediaError
from tests.media.kit import SMALL

TINY = replace(SMALL, seconds=0.5, width=128, height=128)


def render(spec: SceneSpec, folder: Path) -> bytes:
    path = folder / "scene.mp4"
    render_scene(spec, path)
    return path.read_bytes()


def test_the_same_input_gives_the_same_bytes(movie: Path, tmp_path: Path) -> None:
    assert render(SMALL, tmp_path) == movie.read_bytes()


@pytest.mark.parametrize("change", [{"take": 2}, {"scenario": "cta"}, {"prompt": "Something else"}])
def test_another_input_gives_other_bytes(movie: Path, tmp_path: Path, change: dict[str, object]) -> None:
    assert render(replace(SMALL, **change), tmp_path) != movie.read_bytes()  # type: ignore[arg-type]


def test_the_file_says_neither_when_nor_with_what_it_was_made(movie: Path) -> None:
    with av.open(str(movie)) as container:
        assert "creation_time" not in container.metadata
        assert "encoder" not in container.metadata


@pytest.mark.parametrize(("width", "height"), [(256, 144), (144, 256), (128, 128)])
@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_size_and_length_are_as_asked(width: int, height: int, seconds: float, tmp_path: Path) -> None:
    path = tmp_path / "scene.mp4"
    render_scene(replace(SMALL, width=width, height=height, seconds=seconds), path)
    facts = demux(path)
    assert (facts.width, facts.height, facts.fps) == (width, height, 30)
    assert facts.frames == seconds * 30
    assert facts.seconds == pytest.approx(seconds, abs=0.001)
    assert (facts.video_codec, facts.audio_codec) == ("h264", "aac")
    assert facts.web_problems == ()


def test_house_format(movie: Path) -> None:
    with av.open(str(movie)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        picture = video.codec_context
        assert (picture.pix_fmt, int(picture.color_range), int(picture.colorspace)) == ("yuv420p", 1, 1)
        assert video.sample_aspect_ratio == 1
        assert (audio.codec_context.sample_rate, audio.codec_context.layout.name) == (48_000, "stereo")
        assert audio.duration is not None
        assert audio.time_base is not None
        assert float(audio.duration * audio.time_base) == pytest.approx(1.0, abs=0.03)
        keys = {p.pts * p.time_base for p in container.demux(video) if p.is_keyframe and p.pts is not None}
    assert {0, Fraction(1, 2)} <= keys


def test_the_picture_has_badge_text_bar_and_movement(movie: Path) -> None:
    with av.open(str(movie)) as container:
        frames = [planes(np.asarray(frame.to_ndarray(), np.uint8)) for frame in container.decode(video=0)]
    first, middle, last = frames[0], frames[20], frames[-1]
    assert middle.y[40:104, 40:216].max() > 220, "no bright letters in the middle"
    assert first.y[6:20, 6:100].max() > 180, "no letters on the badge"
    assert last.y[-3:, :].min() > 200, "the bar is not full at the end"
    assert first.y[-3:, 30:].mean() < 150, "the bar is full at the start"
    assert np.abs(first.u.astype(int) - last.u).mean() > 1, "the background stands still"
    assert abs(int(last.u[-1, 5]) - GREY) < 12, "the bar is coloured"


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        " \n\t ",
        "W" * 500,
        "🚀🔥✨",
        "Launch 🚀 today\nand never\r\nlook back",
        "مرحبا بالعالم، جرّب اليوم",
        "今すぐ始めよう 世界中で",
        "नमस्ते दुनिया",
        "lone \ud800 surrogate \x00 and \u200d joiner",
        "— … !!! ???",
        "words of every length " * 227,
    ],
    ids=["empty", "blank", "word", "emoji", "lines", "arabic", "cjk", "hindi", "odd", "marks", "long"],
)
def test_any_prompt_can_be_drawn(prompt: str, tmp_path: Path) -> None:
    path = tmp_path / "scene.mp4"
    render_scene(replace(TINY, prompt=prompt), path)
    assert demux(path).frames == 15


def test_progress_rises_to_one(tmp_path: Path) -> None:
    parts: list[float] = []
    render_scene(TINY, tmp_path / "scene.mp4", parts.append)
    assert parts == sorted(parts)
    assert parts[-1] == 1


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    def stop(part: float) -> None:
        if part > 0.5:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        render_scene(TINY, tmp_path / "scene.mp4", stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"seconds": 0.4},
        {"seconds": 60.1},
        {"seconds": float("nan")},
        {"width": 126},
        {"width": 3842},
        {"height": 145},
        {"take": -1},
        {"preset": "placebo"},
    ],
    ids=str,
)
def test_impossible_scenes_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(MediaError) as caught:
        replace(SMALL, **change)  # type: ignore[arg-type]
    assert caught.value.code == "input"
    assert not caught.value.retryable
