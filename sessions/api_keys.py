"""API keys: what a program shows instead of a user's token.

A key reads ``swk_<id>_<secret>``. The secret is random and as long as its hash, so that one
plain SHA-256 is enough to keep: there is nothing to guess, and nothing to slow down.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sessions.errors import InvalidInput

#: how every key begins; scanners for leaked secrets find it by this
PREFIX = "swk_"

#: longest name of an owner, and longest label
NAME_LIMIT = 255

_ID_BYTES, _SECRET_BYTES = 8, 32
_FORM = re.compile(rf"{PREFIX}([0-9a-f]{{{2 * _ID_BYTES}}})_([0-9a-f]{{{2 * _SECRET_BYTES}}})")


class Scope(StrEnum):
    """What a caller may do."""

    SCENES = "scenes"  #: make scenes and read what is the owner's own
    BATCH = "batch"  #: hand in work that may take its time
    ADMIN = "admin"  #: look after the service


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """What is on record of a key: not the key itself."""

    id: str
    owner: str  #: the user it acts as
    label: str  #: for people
    scopes: frozenset[Scope]
    created_at: datetime
    digest: str = field(repr=False)  #: SHA-256 of the secret, in hex
    revoked_at: datetime | None = None

    def opens_with(self, secret: str) -> bool:
        """Whether the secret is the one that belongs to it; takes as long for a wrong one."""
        return hmac.compare_digest(_digest(secret), self.digest)


def issue(owner: str, *, label: str, scopes: Collection[Scope], now: datetime) -> tuple[ApiKey, str]:
    """A new key: what to put on record, and the text for its user, which exists only here.

    Raises ``InvalidInput``.
    """
    if not is_name(owner):
        raise InvalidInput(f"an owner is named by 1 to {NAME_LIMIT} printable characters")
    if label and not is_name(label):
        raise InvalidInput(f"a label has up to {NAME_LIMIT} printable characters")
    if not scopes:
        raise InvalidInput("a key without any scope opens nothing")
    key_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_hex(_SECRET_BYTES)
    key = ApiKey(
        id=key_id,
        owner=owner,
        label=label,
        scopes=frozenset(scopes),
        created_at=now,
        digest=_digest(secret),
    )
    return key, f"{PREFIX}{key_id}_{secret}"


def taken_apart(text: str) -> tuple[str, str] | None:
    """Id and secret of what may be a key; None if it has not the form of one."""
    match = _FORM.fullmatch(text)
    return (match[1], match[2]) if match else None


def is_name(text: str) -> bool:
    """Whether it can name somebody, in a column and in a line of a log."""
    return bool(text.strip()) and len(text) <= NAME_LIMIT and text.isprintable()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
