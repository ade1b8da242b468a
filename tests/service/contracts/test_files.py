"""/outputs/{file}: finished videos, byte ranges, conditions, and nothing else."""

from __future__ import annotations

import asyncio
import os
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.house import Answer, House
from tests.service.contracts.kit import problem, raw

FILM = bytes(range(256)) * 40  # not a film, just bytes to compare
NAME = "11111111-2222-4333-8444-555555555555_hook_0123456789ab.mp4"
URL = f"/outputs/{NAME}"
#: 2026-03-01 00:00:00 UTC and a fraction
WRITTEN_NS = 1_772_323_200_250_000_000


@pytest.fixture
def folder(local: House) -> Path:
    """The outputs folder with one finished file in it."""
    folder = local.settings.outputs.dir
    (folder / NAME).write_bytes(FILM)
    os.utime(folder / NAME, ns=(WRITTEN_NS, WRITTEN_NS))
    return folder


def whole(answer: Answer) -> bool:
    return answer.status == 200 and answer.body == FILM and "Content-Range" not in answer.headers


# ---------------------------------------------------------------------- the file itself


async def test_a_finished_file_with_its_headers(local: House, folder: Path) -> None:
    answer = await local.get(URL)
    assert whole(answer)
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Content-Length"] == str(len(FILM))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer.headers["ETag"].startswith('"')
    assert answer.headers["Last-Modified"].endswith("GMT")
    assert answer.headers["X-Request-ID"]
    assert "Content-Encoding" not in answer.headers
    assert "Content-Disposition" not in answer.headers


async def test_head_is_get_without_the_body(local: House, folder: Path) -> None:
    got, head = await local.get(URL), await local.ask("HEAD", URL)
    assert (head.status, head.body) == (200, b"")
    for name in ("Content-Type", "Content-Length", "ETag", "Last-Modified", "Cache-Control", "Accept-Ranges"):
        assert head.headers[name] == got.headers[name]


async def test_head_ignores_a_range(local: House, folder: Path) -> None:
    head = await local.ask("HEAD", URL, headers={"Range": "bytes=0-9"})
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(FILM)))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_files_cannot_be_changed(local: House, folder: Path, method: str) -> None:
    answer = await raw(local, method, URL, b"")
    problem(answer, 405)
    assert {word.strip() for word in answer.headers["Allow"].split(",")} == {"GET", "HEAD"}
    assert (folder / NAME).read_bytes() == FILM


# ---------------------------------------------------------------------- ranges

SIZE = len(FILM)


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-99", 0, 99),
        ("bytes=1000-1999", 1000, 1999),
        ("bytes=5000-", 5000, SIZE - 1),
        ("bytes=0-", 0, SIZE - 1),
        ("bytes=-1", SIZE - 1, SIZE - 1),
        ("bytes=-500", SIZE - 500, SIZE - 1),
        (f"bytes={SIZE - 1}-{SIZE - 1}", SIZE - 1, SIZE - 1),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
        (f"bytes=100-{SIZE}", 100, SIZE - 1),
        ("bytes=100-999999999999999999", 100, SIZE - 1),
        ("bytes=-999999999999999999", 0, SIZE - 1),
        ("BYTES=0-9", 0, 9),
        ("bytes=0000-0009", 0, 9),
    ],
)
async def test_a_range(local: House, folder: Path, asked: str, first: int, last: int) -> None:
    answer = await raw(local, "GET", URL, Range=asked)
    assert answer.status == 206
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert answer.headers["Content-Length"] == str(last - first + 1)
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.body == FILM[first : last + 1]


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=999999999999999999-"])
async def test_a_range_beyond_the_end(local: House, folder: Path, asked: str) -> None:
    answer = await raw(local, "GET", URL, Range=asked)
    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"
    assert FILM not in answer.body


async def test_a_suffix_of_no_length(local: House, folder: Path) -> None:
    """Nothing can be sent of it: all or 416, never an empty 206."""
    answer = await raw(local, "GET", URL, Range="bytes=-0")
    assert answer.status == 416 or whole(answer)


MEANINGLESS = (
    "bytes=5-2",
    "bytes=0-1,5-6",
    "bytes=0-1, 5-6",
    "bytes=0-0,",
    "bytes=,",
    "bytes=-",
    "bytes=",
    "bytes",
    "",
    "bytes=a-b",
    "bytes=1.5-2",
    "bytes=-1-2",
    "bytes=+1-2",
    "bytes=0x0-0x9",
    "bytes =0-1",
    "items=0-5",
    "0-5",
    "bytes=0-5; drop",
    "bytes=\u0663-\u0665",
    "bytes=0-\u00b2",
)


async def test_a_range_that_means_nothing_is_ignored(
    local: House, folder: Path, subtests: pytest.Subtests
) -> None:
    for asked in MEANINGLESS:
        with subtests.test(asked):
            assert whole(await raw(local, "GET", URL, Range=asked))


@pytest.mark.parametrize(
    "asked", ["bytes=-" + "9" * 5000, "bytes=0-" + "9" * 5000, "bytes=" + "9" * 5000 + "-"]
)
async def test_numbers_of_thousands_of_digits_are_answered(local: House, folder: Path, asked: str) -> None:
    """Python refuses to read numbers of more than 4300 digits; a client still gets its answer."""
    answer = await raw(local, "GET", URL, Range=asked)
    assert answer.status == 416 or answer.body in (FILM, FILM[-SIZE:])


async def test_an_ignored_range_beside_headers_that_are_not_utf_8(local: House, folder: Path) -> None:
    """Header values are bytes: a Latin-1 user agent is no reason to hang up."""
    assert whole(await raw(local, "GET", URL, Range="bytes=5-2", User_Agent=b"caf\xe9"))


async def test_parallel_reads_of_different_parts(local: House, folder: Path) -> None:
    starts = range(0, SIZE, 512)
    answers = await asyncio.gather(
        *(local.get(URL, headers={"Range": f"bytes={at}-{at + 511}"}) for at in starts)
    )
    assert all(answer.status == 206 for answer in answers)
    assert b"".join(answer.body for answer in answers) == FILM


async def test_two_requests_on_one_connection_after_a_range(local: House, folder: Path) -> None:
    """What is ignored or refused leaves the connection usable."""
    for asked, status in (("bytes=0-0,5-6", 200), (f"bytes={SIZE}-", 416), ("bytes=0-3", 206)):
        assert (await local.get(URL, headers={"Range": asked})).status == status
    assert whole(await local.get(URL))


# ---------------------------------------------------------------------- conditions


async def test_if_none_match_with_the_tag(local: House, folder: Path) -> None:
    tag = (await local.get(URL)).headers["ETag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        for method in ("GET", "HEAD"):
            answer = await local.ask(method, URL, headers={"If-None-Match": known})
            assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", tag), known
    assert whole(await local.get(URL, headers={"If-None-Match": '"other"'}))


async def test_if_modified_since(local: House, folder: Path) -> None:
    date = (await local.get(URL)).headers["Last-Modified"]
    assert (await local.get(URL, headers={"If-Modified-Since": date})).status == 304
    earlier = formatdate(WRITTEN_NS / 1e9 - 60, usegmt=True)
    assert whole(await local.get(URL, headers={"If-Modified-Since": earlier}))
    assert whole(await local.get(URL, headers={"If-Modified-Since": "yesterday"}))


async def test_if_match(local: House, folder: Path) -> None:
    tag = (await local.get(URL)).headers["ETag"]
    for wanted in (tag, f'"other", {tag}', "*"):
        assert whole(await local.get(URL, headers={"If-Match": wanted}))
    for wanted in ('"other"', f"W/{tag}"):
        refused = await local.get(URL, headers={"If-Match": wanted})
        assert refused.status == 412
        assert FILM not in refused.body


@pytest.mark.parametrize(
    "headers", [{"If-Match": '"other"'}, {"Range": f"bytes={SIZE}-"}], ids=["412", "416"]
)
async def test_refusals_have_the_contracts_shape(local: House, folder: Path, headers: dict[str, str]) -> None:
    """Errors of /outputs/ look like all errors of the contract."""
    problem(await local.get(URL, headers=headers), 412, 416)


@pytest.mark.parametrize(
    "headers", [{"If-Match": '"other"'}, {"Range": f"bytes={SIZE}-"}], ids=["412", "416"]
)
async def test_refusals_are_not_kept_by_caches(local: House, folder: Path, headers: dict[str, str]) -> None:
    """ "Never changes" is said of the file, not of an error."""
    answer = await local.get(URL, headers=headers)
    assert answer.status in (412, 416)
    assert "immutable" not in answer.headers.get("Cache-Control", "")


async def test_if_range_with_the_tag(local: House, folder: Path) -> None:
    tag = (await local.get(URL)).headers["ETag"]
    answer = await local.get(URL, headers={"Range": "bytes=0-9", "If-Range": tag})
    assert (answer.status, answer.body) == (206, FILM[:10])


async def test_if_range_with_the_date(local: House, folder: Path) -> None:
    date = (await local.get(URL)).headers["Last-Modified"]
    answer = await local.get(URL, headers={"Range": "bytes=0-9", "If-Range": date})
    assert (answer.status, answer.body) == (206, FILM[:10])


@pytest.mark.parametrize(
    "condition",
    [
        '"other"',
        'W/"other"',
        "weak",
        formatdate(WRITTEN_NS / 1e9 - 60, usegmt=True),
        formatdate(WRITTEN_NS / 1e9 + 60, usegmt=True),
        "yesterday",
    ],
    ids=["other tag", "other weak tag", "same tag, weak", "earlier date", "later date", "no date"],
)
async def test_if_range_that_does_not_match_exactly(local: House, folder: Path, condition: str) -> None:
    """RFC 9110, 13.1.5: strong comparison, exact dates; otherwise the whole file."""
    tag = (await local.get(URL)).headers["ETag"]
    condition = f"W/{tag}" if condition == "weak" else condition
    assert whole(await local.get(URL, headers={"Range": "bytes=0-9", "If-Range": condition}))


# ---------------------------------------------------------------------- nothing else


@pytest.mark.parametrize("path", ["/outputs", "/outputs/", "/outputs/.", "/outputs/..", "/outputs//"])
async def test_the_folder_is_not_listed(local: House, folder: Path, path: str) -> None:
    answer = await raw(local, "GET", path)
    problem(answer, 404)
    assert NAME.encode() not in answer.body


OTHER_FILES = (
    f"{NAME}.part",
    "22.local.part",
    ".hidden.mp4",
    ".mp4",
    "notes.txt",
    "film.MP4",
    "film.mp4.bak",
    "film mp4.mp4",
    "two.dots.mp4",
    "-dash.mp4",
    "ümlaut.mp4",
)


async def test_other_files_of_the_folder_are_not_served(
    local: House, folder: Path, subtests: pytest.Subtests
) -> None:
    for name in OTHER_FILES:
        (folder / name).write_bytes(b"secret")
        with subtests.test(name):
            problem(await local.get(f"/outputs/{name}"), 404)


async def test_sub_folders_are_not_served(local: House, folder: Path) -> None:
    (folder / "sub.mp4").mkdir()
    (folder / "sub.mp4" / "inside.mp4").write_bytes(b"secret")
    (folder / "sub").mkdir()
    (folder / "sub" / "inside.mp4").write_bytes(b"secret")
    for path in ("sub.mp4", "sub.mp4/", "sub.mp4/inside.mp4", "sub/inside.mp4", "sub%2finside.mp4", "sub"):
        problem(await raw(local, "GET", f"/outputs/{path}"), 404)


async def test_symbolic_links_out_of_the_folder_are_not_served(
    local: House, folder: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.mp4"
    outside.write_bytes(b"secret")
    (folder / "link.mp4").symlink_to(outside)
    answer = await local.get("/outputs/link.mp4")
    assert b"secret" not in answer.body
    problem(answer, 404)


async def test_links_that_lead_nowhere_or_in_a_circle(local: House, folder: Path) -> None:
    (folder / "nowhere.mp4").symlink_to(folder / "gone.mp4")
    (folder / "circle.mp4").symlink_to(folder / "circle.mp4")
    for name in ("nowhere.mp4", "circle.mp4"):
        problem(await local.get(f"/outputs/{name}"), 404)


async def test_pipes_are_not_opened(local: House, folder: Path) -> None:
    os.mkfifo(folder / "pipe.mp4")
    problem(await local.get("/outputs/pipe.mp4"), 404)


@pytest.mark.parametrize("suffix", [".gz", ".br"])
async def test_a_compressed_neighbour_is_not_served(local: House, folder: Path, suffix: str) -> None:
    """Only names of finished videos are served, whatever encodings a client takes."""
    (folder / f"{NAME}{suffix}").write_bytes(b"not the film")
    assert whole(await raw(local, "GET", URL, Accept_Encoding="gzip, br"))


WAYS_OUT = (
    "/outputs/../test.db",
    "/outputs/..%2ftest.db",
    "/outputs/%2e%2e/test.db",
    "/outputs/%2e%2e%2ftest.db",
    "/outputs/..%5ctest.db",
    "/outputs/..\\test.db",
    "/outputs/%252e%252e%252ftest.db",
    "/outputs/....//test.db",
    "/outputs/./../test.db",
    "/outputs//etc/passwd",
    "/outputs/%2fetc%2fpasswd",
    "/outputs//../test.db",
    "/outputs/../outside.mp4",
    "/outputs/..%2foutside.mp4",
    "/outputs/..%2foutside.mp4%00.mp4",
    f"/outputs/{NAME}%00",
    f"/outputs/{NAME}%00.txt",
    f"/outputs/{NAME}%0a",
    f"/outputs/{NAME}/",
    f"/outputs/{NAME};x",
    f"/outputs/%20{NAME}",
    "/static/../index.html",
    "/static/..%2f..%2fpages.py",
    "/outputs/%c0%ae%c0%ae%2ftest.db",
    "/outputs/%ff%fe.mp4",
    "/outputs/" + "a" * 7000 + ".mp4",
)


async def test_no_way_out_of_the_folder(
    local: House, folder: Path, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    (tmp_path / "outside.mp4").write_bytes(b"secret")
    for target in WAYS_OUT:
        with subtests.test(target[:60]):
            answer = await raw(local, "GET", target)
            problem(answer, 404)
            assert b"secret" not in answer.body


async def test_a_query_does_not_change_the_file(local: House, folder: Path) -> None:
    assert whole(await local.get(f"{URL}?download=1&name=../test.db"))


async def test_a_file_that_is_removed_is_gone(local: House, folder: Path) -> None:
    (folder / NAME).unlink()
    problem(await local.get(URL), 404)
    problem(await raw(local, "GET", URL, Range="bytes=0-9"), 404)
