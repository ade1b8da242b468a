"""Errors on their way to a client, before they have any contract's shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Problem:
    """An error on its way to a client, before it has any contract's shape."""

    status: int
    message: str  #: one sentence
    detail: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class BadRequest(Exception):
    """What is wrong with the HTTP request itself, rather than with the wish."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
