"""Addresses at which a provider can say that a task has ended.

Runware does not sign what it sends; the address itself is the secret
(https://runware.ai/docs, webhooks). Each task has one of its own, made from a secret that
survives restarts without being stored: the provider's key.
"""

from __future__ import annotations

import hashlib
import hmac

from pydantic import SecretStr

#: path of the receiving route; ``{task_id}`` is the task's UUID
PATH = "/callbacks/{task_id}"


class Callbacks:
    """Makes and recognises addresses."""

    def __init__(self, public_url: str, secret: SecretStr) -> None:
        self._base = public_url.rstrip("/")
        self._secret = secret

    def url(self, task_id: str) -> str:
        return f"{self._base}{PATH.format(task_id=task_id)}?token={self._token(task_id)}"

    def genuine(self, task_id: str, token: str) -> bool:
        """Whether the token is the one that was given away for this task."""
        if not (task_id + token).isascii():  # bytes of a request that are no UTF-8 could not be encoded
            return False
        return hmac.compare_digest(self._token(task_id), token)

    def _token(self, task_id: str) -> str:
        key = self._secret.get_secret_value().encode()
        return hmac.new(key, f"callback {task_id}".encode(), hashlib.sha256).hexdigest()[:32]
