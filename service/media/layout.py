"""A prompt cut into phrases, and each phrase into lines that fit the picture. Nothing is drawn here."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.media.typefaces import face

#: shortest time that a phrase stays, seconds
_PHRASE = 1.0
#: most words of a phrase
_WORDS = 6
#: sizes of the text as parts of the picture's shorter side: as wished, and never below
_LARGE, _SMALL = 0.115, 0.065
#: part of the picture's width and height that text may fill
_WIDE, _HIGH = 0.84, 0.5
_LINES = 3
_LINE_HEIGHT = 1.18

#: a word and the font that draws it
Word = tuple[str, Path]


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A word with the place of its top left corner, pixels."""

    word: Word
    x: int
    y: int


@dataclass(frozen=True, kw_only=True)
class Phrase:
    """What stands in the picture at one time."""

    #: in reading order
    words: tuple[Placed, ...]
    #: height of the letters, pixels
    px: int
    #: when it appears and when it is gone, seconds
    start: float
    end: float


def phrases(words: Sequence[Word], width: int, height: int, start: float, end: float) -> list[Phrase]:
    """The words as phrases one after another; what there is no time for becomes an ellipsis."""
    if not words:
        return []
    floor = max(8, round(min(width, height) * _SMALL))
    pieces = [piece for word in words for piece in _pieces(word, floor, width * _WIDE)]
    groups = _groups(pieces, end - start)
    lengths = [sum(len(text) + 2 for text, _ in group) + 6 for group in groups]
    made, time = [], start
    for group, length in zip(groups, lengths, strict=True):
        until = time + (end - start) * length / sum(lengths)
        px, placed = _place(group, width, height)
        made.append(Phrase(words=placed, px=px, start=time, end=until))
        time = until
    return made


def _pieces(word: Word, px: int, room: float) -> list[Word]:
    """A word too wide for a line even in small letters, cut into pieces that fit."""
    text, path = word
    font, pieces = face(path, px), []
    while font.getlength(text) > room and len(text) > 1:
        fits = next((n for n in range(min(len(text) - 1, 80), 1, -1) if font.getlength(text[:n]) <= room), 1)
        pieces.append((text[:fits], path))
        text = text[fits:]
    return [*pieces, (text, path)]


def _groups(words: Sequence[Word], seconds: float) -> list[list[Word]]:
    """Groups of about equal size, rather cut after a comma than before; no more than can be read."""
    most = max(1, int(seconds / _PHRASE))
    shown = list(words[: most * _WORDS])
    if len(shown) < len(words):
        text, path = shown[-1]
        shown[-1] = (text.rstrip(".,;:!?-") + "…", path)
    count = min(most, max(1, -(-len(shown) // 4)))
    cuts = [0]
    for i in range(1, count):
        even = round(i * len(shown) / count)
        near = [c for c in (even, even + 1, even - 1) if cuts[-1] < c < len(shown)]
        cuts.append(next((c for c in near if shown[c - 1][0][-1] in ".,;:!?"), even))
    return [shown[a:b] for a, b in zip(cuts, [*cuts[1:], len(shown)], strict=True)]


def _place(words: Sequence[Word], width: int, height: int) -> tuple[int, tuple[Placed, ...]]:
    """The largest letters with which the words fit, and where each word then stands."""
    short = min(width, height)
    px, floor = max(8, round(short * _LARGE)), max(8, round(short * _SMALL))
    lines = _balanced(words, px, width * _WIDE)
    while px > floor and not _fits(lines, px, width, height):
        px = max(floor, int(px * 0.92))
        lines = _balanced(words, px, width * _WIDE)
    step = round(px * _LINE_HEIGHT)
    top = (height - step * len(lines)) // 2
    return px, tuple(
        placed for row, line in enumerate(lines) for placed in _row(line, px, width, top + row * step)
    )


def _fits(lines: Sequence[Sequence[Word]], px: int, width: int, height: int) -> bool:
    narrow = all(_length(line, px) <= width * _WIDE for line in lines)
    return narrow and len(lines) <= _LINES and len(lines) * px * _LINE_HEIGHT <= height * _HIGH


def _balanced(words: Sequence[Word], px: int, room: float) -> list[list[Word]]:
    """As many lines as there must be, of about equal length: no word alone in the last one."""
    lines = _wrap(words, px, room)
    for part in range(95, 45, -5):
        narrower = _wrap(words, px, room * part / 100)
        if len(narrower) > len(lines) or max(_length(line, px) for line in narrower) > room:
            break
        lines = narrower
    return lines


def _wrap(words: Sequence[Word], px: int, room: float) -> list[list[Word]]:
    """Lines no wider than the room, except for single words that are."""
    lines: list[list[Word]] = [[]]
    for word in words:
        if lines[-1] and _length([*lines[-1], word], px) > room:
            lines.append([])
        lines[-1].append(word)
    return lines


def _row(line: Sequence[Word], px: int, width: int, y: int) -> list[Placed]:
    """One centred line; scripts written from the right run from the right."""
    x = (width - _length(line, px)) / 2
    placed = []
    for word in reversed(line) if _from_right(line) else line:
        placed.append(Placed(word=word, x=round(x), y=y))
        x += _length([word], px) + _space(px)
    return placed[::-1] if _from_right(line) else placed


def _length(line: Sequence[Word], px: int) -> float:
    return sum(face(path, px).getlength(text) for text, path in line) + _space(px) * (len(line) - 1)


def _space(px: int) -> float:
    return px * 0.25


def _from_right(line: Sequence[Word]) -> bool:
    letters = (unicodedata.bidirectional(c) for text, _ in line for c in text)
    return next((kind != "L" for kind in letters if kind in {"L", "R", "AL"}), False)
