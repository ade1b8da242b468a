from __future__ import annotations

import pytest

from service.media.layout import Word, phrases
from service.media.typefaces import BLACK, face

PROMPT = (
    "Stop losing customers at checkout: 68% abandon their carts because paying takes internationalization"
)
SIZES = [(1280, 720), (720, 1280), (720, 720), (128, 128), (3840, 128), (128, 3840)]


def words(text: str) -> list[Word]:
    return [(word, BLACK) for word in text.split()]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("text", [PROMPT, "W" * 500, "a", PROMPT * 20], ids=["usual", "wide", "one", "much"])
def test_all_text_is_inside_the_picture(text: str, width: int, height: int) -> None:
    for phrase in phrases(words(text), width, height, 0.3, 4.8):
        for placed in phrase.words:
            right = placed.x + face(BLACK, phrase.px).getlength(placed.word[0])
            assert placed.x >= 0
            assert right <= width
            assert placed.y >= 0
            assert placed.y + phrase.px * 1.2 <= height


def test_phrases_follow_one_another_without_gaps() -> None:
    made = phrases(words(PROMPT), 1280, 720, 0.3, 4.8)
    assert made[0].start == 0.3
    assert made[-1].end == pytest.approx(4.8)
    assert [a.end for a in made[:-1]] == [b.start for b in made[1:]]


def test_every_word_is_shown_once_if_there_is_time() -> None:
    shown = [placed.word[0] for phrase in phrases(words(PROMPT), 1280, 720, 0, 10) for placed in phrase.words]
    assert shown == PROMPT.split()


def test_too_much_text_ends_in_an_ellipsis_and_can_be_read() -> None:
    made = phrases(words(PROMPT * 20), 1280, 720, 0.0, 5.0)
    assert made[-1].words[-1].word[0].endswith("…")
    assert all(len(phrase.words) <= 8 for phrase in made)
    assert len(made) <= 5


def test_a_phrase_rather_ends_at_a_comma() -> None:
    made = phrases(words("one two three four, five six seven eight nine ten"), 1280, 720, 0, 9)
    assert made[0].words[-1].word[0] == "four,"


def test_words_on_a_line_do_not_overlap() -> None:
    for phrase in phrases(words(PROMPT), 1280, 720, 0, 5):
        for a, b in zip(phrase.words, phrase.words[1:], strict=False):
            if a.y == b.y:
                assert a.x + face(BLACK, phrase.px).getlength(a.word[0]) < b.x


def test_scripts_from_the_right_run_from_the_right() -> None:
    (phrase,) = phrases(words("مرحبا بكم"), 1280, 720, 0, 1)
    assert phrase.words[0].x > phrase.words[1].x


def test_no_words_no_phrases() -> None:
    assert phrases([], 1280, 720, 0, 5) == []


def test_lines_have_about_the_same_length() -> None:
    (phrase,) = phrases(words("Stop losing customers at checkout:"), 1280, 720, 0, 1)
    rows = sorted({placed.y for placed in phrase.words})
    assert [[p.word[0] for p in phrase.words if p.y == row] for row in rows] == [
        ["Stop", "losing", "customers"],
        ["at", "checkout:"],
    ]
