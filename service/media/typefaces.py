"""Which font draws which word.

Roboto comes with the package. Words with letters that it lacks are drawn in the
first system font that has them; letters that no font has are left out, because a
row of empty boxes looks like a fault.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from pathlib import Path

from PIL import ImageFont

_OWN = Path(__file__).parent / "fonts"
#: headlines, and everything small
BLACK, MEDIUM = _OWN / "Roboto-Black.ttf", _OWN / "Roboto-Medium.ttf"

#: where systems keep their fonts
FONT_FOLDERS = (
    Path("/usr/share/fonts"),
    Path("/usr/local/share/fonts"),
    Path("/Library/Fonts"),
    Path("/System/Library/Fonts"),
    Path("C:/Windows/Fonts"),
)
#: fonts looked at before giving up: a desktop may have thousands
_LOOK_AT = 400
_PROBE_PX = 40  # large enough that any two glyphs differ
_NO_GLYPH = "\U000fffff"  # never a character, so it shows what the font draws for "missing"
_FIRST_EMOJI = 0x1F000  # from here on mostly pictures, which a text font draws poorly or not at all


@lru_cache(maxsize=64)
def face(path: Path, px: int) -> ImageFont.FreeTypeFont:
    """A font at a height in pixels."""
    return ImageFont.truetype(str(path), px)


@lru_cache(maxsize=8192)
def covers(path: Path, letter: str) -> bool:
    """Whether the font has a visible glyph for the letter."""
    font = face(path, _PROBE_PX)
    ink = bytes(font.getmask(letter))
    return bool(ink) and ink != bytes(font.getmask(_NO_GLYPH))


def dress(words: Iterable[str], main: Path = BLACK) -> list[tuple[str, Path]]:
    """Each word with the font that draws it, without the letters that no font can draw.

    Words of which nothing is left are gone.
    """
    texts = [unicodedata.normalize("NFC", word) for word in words]
    missing = {c for text in texts for c in text if _is_text(c) and not covers(main, c)}
    fallbacks = _fallbacks(frozenset(missing))
    dressed = []
    for text in texts:
        font = max((main, *fallbacks), key=lambda path: sum(covers(path, c) for c in set(text)))
        kept = "".join(c for c in text if _is_text(c) and covers(font, c))
        if kept:
            dressed.append((kept, font))
    return dressed


def _is_text(letter: str) -> bool:
    return ord(letter) < _FIRST_EMOJI or unicodedata.category(letter).startswith("L")


@lru_cache(maxsize=32)
def _fallbacks(missing: frozenset[str]) -> tuple[Path, ...]:
    """The few system fonts that together cover as many of the letters as can be."""
    chosen, wanted = [], set(missing)
    for path in islice(_system_fonts(), _LOOK_AT):
        if not wanted:
            break
        try:
            found = {letter for letter in wanted if covers(path, letter)}
        except OSError:  # bitmap fonts and broken files
            continue
        if found:
            chosen.append(path)
            wanted -= found
    return tuple(chosen)


@lru_cache(maxsize=1)
def _system_fonts() -> tuple[Path, ...]:
    """Every font of the system, upright bold sans first."""
    files = (path for folder in FONT_FOLDERS for path in folder.rglob("*.[to]t[fc]"))
    return tuple(sorted((p for p in files if "LastResort" not in p.name), key=_rank))


def _rank(path: Path) -> tuple[bool, bool, bool, bool, str]:
    name = path.name
    slanted = "Italic" in name or "Oblique" in name
    return (slanted, "Serif" in name or "Mono" in name, "Bold" not in name, "Condensed" in name, str(path))
