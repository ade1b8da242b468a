"""The list in ``promises.toml`` is whole, and every promise of it has a test that asserts something.

Whether that is the promise, only a reader can tell; that the test is there and runs, this can.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PROMISES: Mapping[str, Mapping[str, Any]] = tomllib.loads(
    Path(__file__).with_name("promises.toml").read_text(encoding="utf-8")
)

#: how many the documents make: series -> its promises
COUNTS = {"S0": 40, "S1": 81, "S4": 23, "S4-D": 13}

#: what people see in a browser only
PAGES = {"S0-38", "S0-39", "S0-40", *(f"S1-{number}" for number in range(53, 63))}


def ids() -> list[str]:
    """Every promise, in the order of the documents."""
    pattern = {"S4-D": "S4-D{}"}
    return [
        pattern.get(series, f"{series}-{{:02}}").format(number)
        for series, count in COUNTS.items()
        for number in range(1, count + 1)
    ]


# ---------------------------------------------------------------------- what can be wrong with an entry


def faults(entry: Mapping[str, Any], root: Path = ROOT) -> Iterator[str]:
    """What is wrong with an entry, one sentence each."""
    if unknown := set(entry) - {"says", "shown_by", "page"}:
        yield f"has unknown keys: {sorted(unknown)}"
    says, shown_by = entry.get("says"), entry.get("shown_by")
    if not isinstance(says, str) or len(says.split()) < 3:
        yield "does not say what is promised"
    if entry.get("page", True) is not True:
        yield "says page, but not that it is one"
    if not isinstance(shown_by, list) or not shown_by:
        yield "is shown by no test"
        return
    if len(set(shown_by)) < len(shown_by):
        yield "names a test twice"
    for test in shown_by:
        if (trouble := fault_of(str(test), root)) is not None:
            yield f"{test} {trouble}"


def fault_of(test: str, root: Path) -> str | None:
    """What is wrong with a test that is named as ``path::function``; None if nothing is."""
    path, _, name = test.partition("::")
    file = root / path
    if not path.startswith("tests/") or not file.name.startswith("test_") or not file.is_file():
        return "is in no file of tests"
    module = parsed(file)
    found = [
        it
        for it in module.body
        if isinstance(it, (ast.FunctionDef, ast.AsyncFunctionDef)) and it.name == name
    ]
    if not name.startswith("test_") or not found:
        return "is not there"
    marks = [*found[-1].decorator_list, *module_marks(module)]
    if any(skips(mark) for mark in marks) or any(gives_up(it) for it in (*module.body, *found[-1].body)):
        return "never runs"
    if not any(asserts(it) for it in ast.walk(found[-1])):
        return "asserts nothing"
    return None


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def module_marks(module: ast.Module) -> list[ast.expr]:
    """What stands in ``pytestmark``."""
    values = [
        it.value
        for it in module.body
        if isinstance(it, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in it.targets)
    ]
    return [
        mark
        for value in values
        for mark in (value.elts if isinstance(value, (ast.List, ast.Tuple)) else [value])
    ]


def skips(mark: ast.expr) -> bool:
    """Whether a mark keeps the test from running or from failing, whatever the machine has."""
    called = mark.func if isinstance(mark, ast.Call) else mark
    if not isinstance(called, ast.Attribute):
        return False
    if called.attr in ("skip", "xfail"):
        return True
    return (
        called.attr == "skipif" and isinstance(mark, ast.Call) and bool(mark.args) and constant(mark.args[0])
    )


def gives_up(statement: ast.stmt) -> bool:
    """``pytest.skip(...)`` and the like, under no condition."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("skip", "xfail", "importorskip")
    )


def asserts(node: ast.AST) -> bool:
    """An ``assert`` that can fail, or ``pytest.raises``."""
    if isinstance(node, ast.Assert):
        return not constant(node.test)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "raises"


def constant(expression: ast.expr) -> bool:
    """Whether it is the same everywhere: no name stands in it."""
    return not any(isinstance(it, (ast.Name, ast.Call)) for it in ast.walk(expression))


# ---------------------------------------------------------------------- the list


def test_no_promise_is_missing_and_none_is_made_up() -> None:
    assert list(PROMISES) == ids(), "each once, in the order of the documents"
    assert len(PROMISES) == 40 + 81 + 23 + 13


@pytest.mark.parametrize("promise", PROMISES)
def test_every_promise_has_a_test(promise: str) -> None:
    assert list(faults(PROMISES[promise])) == []


def test_what_only_a_browser_shows_is_known() -> None:
    assert {promise for promise, entry in PROMISES.items() if "page" in entry} == PAGES


# ---------------------------------------------------------------------- whether it would be noticed


MODULE = """
import pytest
pytestmark = [pytest.mark.skipif(NODE is None, reason="no node")]

def test_good(): assert answer() == 1
async def test_raises():
    with pytest.raises(ValueError): answer()
def test_nothing(): answer()
def test_trivial(): assert True
def test_text(): assert "this is so"
@pytest.mark.skip
def test_skipped(): assert answer()
@pytest.mark.skip(reason="later")
def test_skipped_later(): assert answer()
@pytest.mark.xfail(strict=False)
def test_may_fail(): assert answer()
@pytest.mark.skipif(True, reason="always")
def test_always_skipped(): assert answer()
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_needs_curl(): assert answer()
def test_gives_up():
    pytest.skip("not now")
    assert answer()
def helper(): assert answer()
class TestClass:
    def test_within(self): assert answer()
"""

GOOD: dict[str, Any] = {"says": "Something is so", "shown_by": ["tests/test_x.py::test_good"]}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").write_text(MODULE)
    (tmp_path / "tests" / "test_skipped.py").write_text(
        "pytestmark = pytest.mark.skip\ndef test_good(): assert answer()\n"
    )
    (tmp_path / "tests" / "kit.py").write_text("def test_good(): assert answer()\n")
    return tmp_path


@pytest.mark.parametrize("name", ["test_good", "test_raises", "test_needs_curl"])
def test_what_is_a_test_is_taken(elsewhere: Path, name: str) -> None:
    assert list(faults({**GOOD, "shown_by": [f"tests/test_x.py::{name}"]}, elsewhere)) == []


@pytest.mark.parametrize(
    ("test", "trouble"),
    [
        ("tests/test_x.py::test_gone", "is not there"),
        ("tests/test_x.py::test_within", "is not there"),
        ("tests/test_x.py::helper", "is not there"),
        ("tests/test_x.py", "is not there"),
        ("tests/test_y.py::test_good", "is in no file of tests"),
        ("tests/kit.py::test_good", "is in no file of tests"),
        ("test_x.py::test_good", "is in no file of tests"),
        ("tests/test_x.py::test_nothing", "asserts nothing"),
        ("tests/test_x.py::test_trivial", "asserts nothing"),
        ("tests/test_x.py::test_text", "asserts nothing"),
        ("tests/test_x.py::test_skipped", "never runs"),
        ("tests/test_x.py::test_skipped_later", "never runs"),
        ("tests/test_x.py::test_may_fail", "never runs"),
        ("tests/test_x.py::test_always_skipped", "never runs"),
        ("tests/test_x.py::test_gives_up", "never runs"),
        ("tests/test_skipped.py::test_good", "never runs"),
    ],
)
def test_what_is_none_is_noticed(elsewhere: Path, test: str, trouble: str) -> None:
    assert list(faults({**GOOD, "shown_by": [test]}, elsewhere)) == [f"{test} {trouble}"]


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ({"shown_by": []}, "is shown by no test"),
        ({"shown_by": "tests/test_x.py::test_good"}, "is shown by no test"),
        ({"shown_by": GOOD["shown_by"] * 2}, "names a test twice"),
        ({"says": ""}, "does not say what is promised"),
        ({"page": False}, "says page, but not that it is one"),
        ({"shown": []}, "has unknown keys: ['shown']"),
    ],
)
def test_an_entry_that_is_none_is_noticed(elsewhere: Path, change: dict[str, Any], trouble: str) -> None:
    assert list(faults({**GOOD, **change}, elsewhere)) == [trouble]
