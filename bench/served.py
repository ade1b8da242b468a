"""`scenewright serve`, unchanged, with its SQL statements counted.

    python -m bench.served CONFIG

A line on standard input is answered with the number of statements so far.
"""

from __future__ import annotations

import itertools
import sys
import threading
from typing import Any, NoReturn

from sqlalchemy import Engine, event

from service.cli import main as scenewright


def main() -> NoReturn:
    counter = itertools.count(1)
    executed = 0

    @event.listens_for(Engine, "before_cursor_execute")
    def count(*_: Any) -> None:
        nonlocal executed
        executed = next(counter)

    def answer() -> None:
        for _ in sys.stdin:
            print(executed, flush=True)

    threading.Thread(target=answer, name="counts", daemon=True).start()
    sys.argv = ["scenewright", "serve", "--config", sys.argv[1]]
    scenewright()


if __name__ == "__main__":
    main()
