"""Everything from a bare Python 3.11: sets up .venv, then runs what is asked for.

    python3 run.py demo        four videos from one brief
    python3 run.py serve       any other command of scenewright likewise
    python3 run.py test        all checks and tests; further words go to pytest
    python3 run.py lock        bring the lock files up to date with pyproject.toml

Only the standard library is used here. With uv on the PATH, uv installs; otherwise pip.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
PYTHON = BIN / "python"

#: what to install for running, and for testing
RUNTIME, DEVELOPMENT = "requirements.lock", "requirements-dev.lock"

#: files of tests on all cores; in their order, in which the longest come first
SIDE_BY_SIDE = ("-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder")

CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("lint-imports",),
)


def main(arguments: list[str]) -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is what an older Python meets first
        return _complain(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    command, *rest = arguments
    try:
        if command == "test":
            _set_up(DEVELOPMENT)
            return _test(rest)
        if command == "lock":
            _set_up(DEVELOPMENT)
            return _lock()
        _set_up(RUNTIME)
    except subprocess.CalledProcessError as error:
        return _complain(f"setting up .venv failed at: {' '.join(map(str, error.cmd))}")
    return _become(BIN / "scenewright", arguments)


def _become(program: Path, arguments: list[str]) -> NoReturn:
    """Go on as ``program``, in this process's place, so that signals reach the server itself."""
    os.execv(program, [str(program), *arguments])  # noqa: S606 - no shell is wanted


def _complain(sentence: str) -> int:
    print(f"run.py: {sentence}", file=sys.stderr)
    return 1


def _set_up(lock: str) -> None:
    """Install what ``lock`` names, and this checkout, unless that was done before."""
    stamp = VENV / "installed"
    wanted = _digest(lock)
    known = stamp.read_text().split() if stamp.exists() else []
    if wanted in known:
        return
    uv = shutil.which("uv")
    print(f"Setting up .venv from {lock} with {'uv' if uv else 'pip'} ...", file=sys.stderr, flush=True)
    if not PYTHON.exists() or not (uv or _has_pip()):  # an interrupted start leaves one without pip
        _create_venv(uv)
    with_pip: list[Path | str] = [PYTHON, "-m", "pip", "install", "-q"]
    install = [uv, "pip", "install", "--quiet", "--python", PYTHON] if uv else with_pip
    _check([*install, "--require-hashes", "-r", ROOT / lock])
    _check([*install, "--no-deps", "--no-build-isolation", "-e", ROOT])
    # The larger lock holds everything the smaller one does, in the same versions.
    done = {wanted, _digest(RUNTIME)}
    stamp.write_text("\n".join(sorted(done)) + "\n")


def _create_venv(uv: str | None) -> None:
    if uv:
        _check([uv, "venv", "--quiet", "--python", sys.executable, VENV])
        return
    try:
        _check([sys.executable, "-m", "venv", VENV])
    except subprocess.CalledProcessError:
        shutil.rmtree(VENV, ignore_errors=True)
        print("Is venv missing? On Debian and Ubuntu: apt install python3-venv", file=sys.stderr)
        raise


def _has_pip() -> bool:
    asked = subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, check=False)
    return asked.returncode == 0


def _digest(lock: str) -> str:
    digest = hashlib.sha256((ROOT / lock).read_bytes() + (ROOT / "pyproject.toml").read_bytes())
    return f"{lock}:{digest.hexdigest()[:16]}"


def _test(pytest_arguments: list[str]) -> int:
    """All checks, then the tests; the exit code is 0 only if everything passed."""
    failed = [" ".join(check) for check in CHECKS if _say_and_run(BIN / check[0], *check[1:])]
    if _say_and_run(PYTHON, "-m", "pytest", *SIDE_BY_SIDE, *pytest_arguments):
        failed.append("pytest")
    return _complain(f"failed: {', '.join(failed)}") if failed else 0


def _lock() -> int:
    # No addresses in the lock files: they hold on every mirror, and hashes say what is meant.
    flags = "--universal --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links"
    base: list[Path | str] = [
        BIN / "uv",
        "pip",
        "compile",
        *flags.split(),
        "--quiet",
        "--python-version",
        "3.11",
    ]
    base += ["pyproject.toml", "--extra", "media"]
    return _say_and_run(*base, "--group", "build", "-o", RUNTIME) or _say_and_run(
        *base, "--group", "dev", "-c", RUNTIME, "-o", DEVELOPMENT
    )


def _say_and_run(program: Path | str, *arguments: Path | str) -> int:
    print(f"\n== {Path(program).name} {' '.join(map(str, arguments))}", flush=True)
    return subprocess.call(
        [program, *arguments], cwd=ROOT, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    )


def _check(command: list[Path | str]) -> None:
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run(list(map(str, command)), check=True, cwd=ROOT, env={**os.environ, **quiet})


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("run.py: interrupted; the same command goes on from here")
