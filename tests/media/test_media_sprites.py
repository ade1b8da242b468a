from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.media import typefaces
from service.media.planes import Bytes, planes
from service.media.sprites import Sprite, margin, word_sprite
from service.media.typefaces import BLACK, MEDIUM, covers, dress


def grey(width: int = 64, height: int = 32, luma: int = 100) -> Bytes:
    packed = np.full((height * 3 // 2, width), 128, np.uint8)
    packed[:height] = luma
    return packed


def test_an_opaque_sprite_has_exactly_its_colour() -> None:
    packed = grey()
    Sprite(Image.new("RGBA", (8, 8), (255, 255, 255, 255))).blend(planes(packed), 4, 4)
    assert (planes(packed).y[4:12, 4:12] == 235).all()
    assert planes(packed).y.sum() == 64 * 235 + (64 * 32 - 64) * 100


@pytest.mark.parametrize("alpha", [0, 1, 64, 127, 255])
def test_blending_a_colour_into_itself_changes_nothing(alpha: int) -> None:
    packed = grey(luma=235)
    Sprite(Image.new("RGBA", (8, 8), (255, 255, 255, alpha))).blend(planes(packed), 4, 4, 0.7)
    assert (planes(packed).y == 235).all()


@pytest.mark.parametrize(("x", "y"), [(-5, -5), (60, 30), (-400, 0), (0, 400), (63, -7)])
def test_a_sprite_is_cut_off_at_the_edges(x: int, y: int) -> None:
    Sprite(Image.new("RGBA", (9, 7), (255, 0, 0, 255))).blend(planes(grey()), x, y)


@pytest.mark.parametrize("word", ["Ågjpqy", "fWÖ", "ÉÊ,;"])
def test_letters_are_not_clipped(word: str) -> None:
    packed = grey(600, 200, luma=16)
    sprite = word_sprite(word, BLACK, 60, (255, 255, 255))
    sprite.blend(planes(packed), 0, 0)
    bright = planes(packed).y[: sprite.height, : sprite.width] > 120
    assert bright.any()
    for edge in (bright[0], bright[-1], bright[:, 0], bright[:, -1]):
        assert not edge.any()
    assert margin(60) > 0


def test_roboto_draws_what_it_can() -> None:
    assert dress(["Größe", "€49", "Привет"]) == [("Größe", BLACK), ("€49", BLACK), ("Привет", BLACK)]
    assert dress(["x"], MEDIUM) == [("x", MEDIUM)]


def test_letters_without_a_font_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typefaces, "_system_fonts", lambda: ())
    typefaces._fallbacks.cache_clear()
    assert dress(["🚀", "Go🚀", "世界", "now"]) == [("Go", BLACK), ("now", BLACK)]
    typefaces._fallbacks.cache_clear()


def test_other_scripts_use_a_system_font_that_has_them() -> None:
    letters = "مرحبا"
    dressed = dress([letters])
    if not dressed:
        pytest.skip("no font with Arabic letters on this machine")
    ((text, path),) = dressed
    assert text == letters
    assert path != BLACK
    assert all(covers(path, letter) for letter in letters)


def test_broken_fonts_are_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "Broken-Bold.ttf").write_bytes(b"no font")
    monkeypatch.setattr(typefaces, "FONT_FOLDERS", (tmp_path, tmp_path / "missing"))
    for cache in (typefaces._system_fonts, typefaces._fallbacks):
        cache.cache_clear()
    assert dress(["世"]) == []
    for cache in (typefaces._system_fonts, typefaces._fallbacks):
        cache.cache_clear()
