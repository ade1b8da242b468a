"""How a part of the service is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Health:
    """Whether a part can do its work."""

    ok: bool
    detail: str  #: one sentence for an operator
