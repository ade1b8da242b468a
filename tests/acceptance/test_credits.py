"""Credits by the command line, beside a running server."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.acceptance.server import scenewright, serving

#: accounts begin with nothing
NOTHING = {"SCENEWRIGHT_CREDITS__OPENING_TOKENS": "0", "SCENEWRIGHT_CREDITS__OPENING_DUST": "0"}


async def command(folder: Path, *arguments: str) -> tuple[int, str, str]:
    return await scenewright(folder, *arguments, **NOTHING)


async def test_credits_are_granted_shown_and_checked_while_a_server_runs(tmp_path: Path) -> None:
    async with serving(tmp_path):
        assert await command(
            tmp_path, "credits", "grant", "ann", "120", "--currency", "tokens", "--note", "für März"
        ) == (0, "ann  tokens  120 available  0 held\n", "")
        assert await command(tmp_path, "credits", "grant", "ann", "-20", "--currency", "tokens") == (
            0,
            "ann  tokens  100 available  0 held\n",
            "",
        )
        await command(tmp_path, "credits", "grant", "ann", "7", "--currency", "dust")

        code, out, errors = await command(tmp_path, "credits", "show", "ann")
        assert (code, errors) == (0, "")
        lines = out.splitlines()
        assert lines[:2] == ["ann  tokens  100 available  0 held", "ann  dust  7 available  0 held"]
        assert [line.partition("Z  ")[2] for line in lines[2:]] == [
            "dust  grant  +7 available  +0 held",
            "tokens  grant  -20 available  +0 held",
            "tokens  grant  +120 available  +0 held  für März",
        ]
        code, out, _ = await command(tmp_path, "credits", "show", "ann", "--last", "1")
        assert (code, len(out.splitlines())) == (0, 3)

        assert await command(tmp_path, "credits", "check") == (0, "The books are true.\n", "")


async def test_books_that_are_not_true_end_the_check_with_1(tmp_path: Path) -> None:
    await command(tmp_path, "migrate")
    await command(tmp_path, "credits", "grant", "ann", "5", "--currency", "tokens")
    with closing(sqlite3.connect(tmp_path / "process.db")) as file, file:
        file.execute("UPDATE accounts SET available = 6")
    assert await command(tmp_path, "credits", "check") == (
        1,
        "ann  tokens  the account differs from its charges by +1 available and +0 held\n",
        "",
    )


async def test_what_cannot_be_granted_or_shown_is_one_readable_line(tmp_path: Path) -> None:
    code, out, errors = await command(tmp_path, "credits", "check")
    assert (code, out) == (2, "")
    assert errors.endswith("`scenewright migrate` makes it\n")

    await command(tmp_path, "migrate")
    assert await command(tmp_path, "credits", "show", "ann") == (
        1,
        "",
        "scenewright: 'ann' has no account; `scenewright credits grant` opens one\n",
    )
    assert await command(tmp_path, "credits", "grant", "ann", "-1", "--currency", "tokens") == (
        2,
        "",
        "scenewright: ann has 0 tokens available: no more can be taken back\n",
    )
    assert await command(tmp_path, "credits", "grant", "", "1", "--currency", "tokens") == (
        2,
        "",
        "scenewright: an owner is named by 1 to 255 printable characters\n",
    )
    for wrong in (["ann", "1.5", "--currency", "tokens"], ["ann", "1"], ["ann", "1", "--currency", "gold"]):
        code, out, _ = await command(tmp_path, "credits", "grant", *wrong)
        assert (code, out) == (2, ""), wrong
