"""API keys by the command line, beside a running server."""

from __future__ import annotations

from pathlib import Path

from sessions import api_keys
from tests.acceptance.server import scenewright, serving


async def test_keys_are_made_listed_and_revoked_while_a_server_runs(tmp_path: Path) -> None:
    async with serving(tmp_path):
        assert await scenewright(tmp_path, "keys", "list") == (0, "", "")
        code, out, errors = await scenewright(
            tmp_path, "keys", "create", "ann", "--scope", "scenes", "--scope", "batch", "--label", "nightly"
        )
        parts = api_keys.taken_apart(out.removesuffix("\n"))
        assert (code, parts is not None) == (0, True), errors
        assert parts is not None
        key_id, secret = parts
        assert "only this once" in errors
        assert secret not in errors

        code, out, errors = await scenewright(tmp_path, "keys", "list")
        assert (code, errors) == (0, "")
        assert out.startswith(f"{key_id}  ")
        assert out.endswith("Z  active  batch,scenes  ann  nightly\n")

        code, out, _ = await scenewright(tmp_path, "keys", "revoke", key_id)
        assert (code, f"{key_id}  " in out, "  revoked 2" in out) == (0, True, True)
        assert await scenewright(tmp_path, "keys", "revoke", "nobody") == (
            1,
            "",
            "scenewright: there is no key 'nobody'; `scenewright keys list` shows those there are\n",
        )


async def test_a_key_that_cannot_be_made_is_one_readable_line(tmp_path: Path) -> None:
    code, out, errors = await scenewright(tmp_path, "keys", "create", "ann", "--scope", "batch")
    assert (code, out) == (2, "")
    assert errors.startswith("scenewright: there is no database ")
    assert errors.endswith("`scenewright migrate` makes it\n")

    await scenewright(tmp_path, "migrate")
    code, out, errors = await scenewright(tmp_path, "keys", "create", "", "--scope", "batch")
    assert (code, out) == (2, "")
    assert errors == "scenewright: an owner is named by 1 to 255 printable characters\n"
    code, out, _ = await scenewright(tmp_path, "keys", "create", "ann", "--scope", "everything")
    assert (code, out) == (2, "")
    code, out, _ = await scenewright(tmp_path, "keys", "create", "ann")
    assert (code, out) == (2, ""), "a scope must be given"
    assert await scenewright(tmp_path, "keys", "list") == (0, "", "")
