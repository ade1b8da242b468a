"""Signed addresses of files: for one file, until one moment, from one secret."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from service.links import Links
from service.settings import load_settings
from sessions.errors import ConfigError

SECRET = bytes(range(32))
FILE = "11111111-2222-4333-8444-555555555555_hook_0123456789ab.mp4"
HOURS = 24
HALF = HOURS * 1800
#: the middle of a period in which links stay the same, rounded up
MOMENT = (1_790_000_000 // HALF) * HALF + HALF // 2


class Hands:
    """A clock that is turned by hand."""

    def __init__(self, seconds: float = MOMENT) -> None:
        self.seconds = seconds

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def links(hands: Hands) -> Links:
    return Links(SECRET, hours=HOURS, now=hands)


def query_of(path: str) -> str:
    return path.partition("?")[2]


def parts_of(links: Links, file: str = FILE) -> tuple[int, str]:
    """Moment and signature of a link."""
    exp, sig = (item.partition("=")[2] for item in query_of(links.path(file, "ann")).split("&"))
    return int(exp), sig


# ---------------------------------------------------------------------- links that are good


def test_what_is_nobodys_needs_no_signature(links: Links) -> None:
    assert links.path(FILE, None) == f"/outputs/{FILE}"


def test_what_is_somebodys_is_signed(links: Links) -> None:
    path, (exp, sig) = links.path(FILE, "ann"), parts_of(links)
    assert path == f"/outputs/{FILE}?exp={exp}&sig={sig}"
    assert links.valid(FILE, query_of(path))
    assert len(sig) == 43, "256 bits"


def test_an_empty_owner_is_an_owner(links: Links) -> None:
    assert "sig=" in links.path(FILE, "")


def test_all_processes_with_the_secret_agree(links: Links, hands: Hands) -> None:
    other = Links(SECRET, hours=HOURS, now=hands)
    assert other.path(FILE, "ann") == links.path(FILE, "ben")
    assert other.valid(FILE, query_of(links.path(FILE, "ann")))


@pytest.mark.parametrize("hours", [1, 24, 24.5, 8760])
@pytest.mark.parametrize("into", [0, 1, 0.5, 0.999999])
def test_a_link_lives_between_half_of_its_time_and_all(hours: float, into: float) -> None:
    half = int(hours * 1800)
    hands = Hands((1_790_000_000 // half + into) * half)
    exp, _ = parts_of(Links(SECRET, hours=hours, now=hands))
    assert half <= exp - hands.seconds <= 2 * half


def test_the_same_link_is_given_for_half_of_its_life(links: Links, hands: Hands) -> None:
    hands.seconds = MOMENT - HALF / 2
    first = links.path(FILE, "ann")
    assert links.good_for() == HALF
    for later in (1.0, HALF / 2, HALF - 1.0):
        hands.seconds = MOMENT - HALF / 2 + later
        assert links.path(FILE, "ann") == first
        assert links.good_for() == HALF - later
    hands.seconds = MOMENT + HALF / 2
    second = links.path(FILE, "ann")
    assert second != first
    assert links.good_for() == HALF
    assert links.valid(FILE, query_of(first)), "whoever has the first one goes on watching"


def test_how_long_a_link_is_good_is_said_to_the_moment(links: Links, hands: Hands) -> None:
    first, left = links.path(FILE, "ann"), links.good_for()
    hands.seconds += left - 0.001
    assert links.path(FILE, "ann") == first
    hands.seconds += 0.001
    assert links.path(FILE, "ann") != first


def test_a_link_ends_at_its_moment(links: Links, hands: Hands) -> None:
    query, (exp, _) = query_of(links.path(FILE, "ann")), parts_of(links)
    for seconds, good in ((exp - 0.001, True), (exp, False), (exp + 1, False), (exp + 10 * HALF, False)):
        hands.seconds = seconds
        assert links.valid(FILE, query) is good


def test_a_clock_that_was_set_back_spoils_nothing(links: Links, hands: Hands) -> None:
    query = query_of(links.path(FILE, "ann"))
    hands.seconds -= 3 * HALF
    assert links.valid(FILE, query)


# ---------------------------------------------------------------------- links that are not

Forge = Callable[[int, str], str]

#: from moment and signature of a good link
FORGED: dict[str, Forge] = {
    "nothing": lambda exp, sig: "",
    "no signature": lambda exp, sig: f"exp={exp}",
    "no moment": lambda exp, sig: f"sig={sig}",
    "empty signature": lambda exp, sig: f"exp={exp}&sig=",
    "empty moment": lambda exp, sig: f"exp=&sig={sig}",
    "a second later": lambda exp, sig: f"exp={exp + 1}&sig={sig}",
    "a second earlier": lambda exp, sig: f"exp={exp - 1}&sig={sig}",
    "the next period": lambda exp, sig: f"exp={exp + HALF}&sig={sig}",
    "a digit more": lambda exp, sig: f"exp={exp}0&sig={sig}",
    "a huge moment": lambda exp, sig: f"exp={'9' * 12}&sig={sig}",
    "a moment without end": lambda exp, sig: f"exp={'9' * 5000}&sig={sig}",
    "a negative moment": lambda exp, sig: f"exp=-{exp}&sig={sig}",
    "a signed moment": lambda exp, sig: f"exp=+{exp}&sig={sig}",
    "a padded moment": lambda exp, sig: f"exp=0{exp}&sig={sig}",
    "a moment with a fraction": lambda exp, sig: f"exp={exp}.0&sig={sig}",
    "a moment with an exponent": lambda exp, sig: f"exp=1e12&sig={sig}",
    "a moment with a space": lambda exp, sig: f"exp=%20{exp}&sig={sig}",
    "a moment with an underscore": lambda exp, sig: f"exp={str(exp)[:1]}_{str(exp)[1:]}&sig={sig}",
    "no number": lambda exp, sig: f"exp=never&sig={sig}",
    "not a number": lambda exp, sig: f"exp=nan&sig={sig}",
    "zero": lambda exp, sig: f"exp=0&sig={sig}",
    "other digits": lambda exp, sig: (
        f"exp={str(exp).translate({48 + n: 0x660 + n for n in range(10)})}&sig={sig}"
    ),
    "truncated": lambda exp, sig: f"exp={exp}&sig={sig[:-1]}",
    "cut to a stump": lambda exp, sig: f"exp={exp}&sig={sig[:4]}",
    "longer": lambda exp, sig: f"exp={exp}&sig={sig}A",
    "padded": lambda exp, sig: f"exp={exp}&sig={sig}=",
    "upper case": lambda exp, sig: f"exp={exp}&sig={sig.upper()}",
    "lower case": lambda exp, sig: f"exp={exp}&sig={sig.lower()}",
    "other first letter": lambda exp, sig: f"exp={exp}&sig={'B' if sig[0] == 'A' else 'A'}{sig[1:]}",
    # The last letter holds two bits that base64 does not use.
    "same bits, other letter": lambda exp, sig: f"exp={exp}&sig={sig[:-1]}{chr(ord(sig[-1]) + 1)}",
    "all zeros": lambda exp, sig: f"exp={exp}&sig={'A' * 43}",
    "not ASCII": lambda exp, sig: f"exp={exp}&sig={sig[:-1]}ä",
    "moment twice": lambda exp, sig: f"exp={exp}&exp={exp}&sig={sig}",
    "another moment as well": lambda exp, sig: f"exp={exp + HALF}&exp={exp}&sig={sig}",
    "signature twice": lambda exp, sig: f"exp={exp}&sig={sig}&sig={sig}",
    "other order": lambda exp, sig: f"sig={sig}&exp={exp}",
    "something more": lambda exp, sig: f"exp={exp}&sig={sig}&download=1",
    "something before": lambda exp, sig: f"x=1&exp={exp}&sig={sig}",
    "an ampersand more": lambda exp, sig: f"exp={exp}&sig={sig}&",
    "semicolon": lambda exp, sig: f"exp={exp};sig={sig}",
    "upper-case names": lambda exp, sig: f"EXP={exp}&SIG={sig}",
    "escaped": lambda exp, sig: f"%65xp={exp}&sig={sig}",
    "escaped letter": lambda exp, sig: f"exp={exp}&sig=%{ord(sig[0]):02X}{sig[1:]}",
    "list": lambda exp, sig: f"exp[]={exp}&sig[]={sig}",
    "a line more": lambda exp, sig: f"exp={exp}&sig={sig}\n",
    "a question mark": lambda exp, sig: f"?exp={exp}&sig={sig}",
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_a_forged_link_is_none(links: Links, forge: Forge) -> None:
    assert not links.valid(FILE, forge(*parts_of(links)))


@pytest.mark.parametrize(
    "other",
    ["", "x", FILE[:-1], FILE + "x", FILE.upper(), f"../{FILE}", FILE.replace("hook", "cta"), f"{FILE}\n"],
)
def test_a_link_is_for_one_file(links: Links, other: str) -> None:
    assert not links.valid(other, query_of(links.path(FILE, "ann")))


def test_moment_and_file_cannot_be_shifted_into_each_other(links: Links) -> None:
    exp, sig = parts_of(links, "1.mp4")
    assert links.valid("1.mp4", f"exp={exp}&sig={sig}")
    for file, moment in (("\n1.mp4", f"{exp}"), (f"{exp}\n1.mp4", f"{exp}"), (".mp4", f"{exp}1")):
        assert not links.valid(file, f"exp={moment}&sig={sig}")


def test_another_secret_is_another_server(links: Links, hands: Hands) -> None:
    for other in (bytes(32), SECRET + b"x", SECRET[::-1]):
        query = query_of(Links(other, hours=HOURS, now=hands).path(FILE, "ann"))
        assert not links.valid(FILE, query)


@pytest.mark.parametrize("file", ["\udcff", "\ud800.mp4", "a\0b", "ä.mp4"])
def test_a_name_of_odd_letters_is_just_another_name(links: Links, file: str) -> None:
    exp, sig = parts_of(links)
    assert not links.valid(file, f"exp={exp}&sig={sig}")


@pytest.mark.parametrize("secret", [b"", b"short", bytes(31)])
def test_a_short_secret_is_none(secret: bytes, hands: Hands) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Links(secret, hours=HOURS, now=hands)


def test_the_secret_is_not_shown(links: Links) -> None:
    assert repr(SECRET) not in repr(links) + str(links)


# ---------------------------------------------------------------------- settings


def test_a_link_lives_for_a_day_unless_told_otherwise() -> None:
    assert load_settings(environ={}).auth.link_hours == 24
    environ = {"SCENEWRIGHT_AUTH__LINK_HOURS": "1.5"}
    assert load_settings(environ=environ).auth.link_hours == 1.5


@pytest.mark.parametrize("hours", [0, -1, 0.5, 10_000, "nan", "inf"])
def test_a_life_that_cannot_be(hours: float | str) -> None:
    with pytest.raises(ConfigError, match=r"auth\.link_hours"):
        load_settings({"auth": {"link_hours": hours}}, environ={})


def test_a_moment_far_ahead_is_still_a_moment() -> None:
    far = datetime(9999, 1, 1, tzinfo=UTC) - timedelta(days=1)
    links = Links(SECRET, hours=8760, now=lambda: far)
    assert links.valid(FILE, query_of(links.path(FILE, "ann")))
