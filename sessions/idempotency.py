"""Requests that carry an idempotency key, and what came of them.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

#: how long a key is remembered
KEPT = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class KeyedRequest:
    """One create request of one caller.

    ``subject`` is on record in the transaction that creates it, so that a repetition after a
    crash finds it even if the answer was never made.
    """

    caller: str
    key: str
    fingerprint: str  #: hex digest of method, path and body
    created_at: datetime
    subject: str | None = None  #: id of the job or session that it led to
    joined: bool = False  #: the job was under way already
    status: int | None = None  #: the answer's HTTP status
    body: bytes | None = None  #: the answer's body

    @property
    def led_to(self) -> str:
        """The subject of a request that is on record together with it."""
        assert self.subject is not None, "put on record together with what it led to"
        return self.subject
