"""Addresses of finished files, signed where they are somebody's.

A browser's ``<video>`` cannot show a token, so a link carries its own permission: for one file,
until one moment. Whoever holds it can use it. Until half of its life is over the same link is
given again, so that answers which name it stay the same byte for byte.
"""

from __future__ import annotations

import base64
import hmac
import re

from sessions.clock import Clock

#: what a signature here is about: one made for anything else means nothing
_PURPOSE = b"scenewright file link 1\n"

_SECRET_BYTES = 32

#: all that a link's query may be; the signature is 32 bytes
_QUERY = re.compile(r"exp=(?P<exp>[1-9][0-9]{0,11})&sig=(?P<sig>[A-Za-z0-9_-]{43})")


class Links:
    """Makes and checks links. Whoever has the same secret takes them, in any process."""

    def __init__(self, secret: bytes, *, hours: float, now: Clock) -> None:
        if len(secret) < _SECRET_BYTES:
            raise ValueError(f"a secret for links has at least {_SECRET_BYTES} bytes")
        self._secret = secret
        self._half = int(hours * 1800)  #: of a link's life, in seconds
        self._now = now

    def path(self, file: str, owner: str | None) -> str:
        """The address of ``file`` on this server; plain if it is nobody's, for it needs no permission."""
        if owner is None:
            return f"/outputs/{file}"
        expires = (int(self._now().timestamp()) // self._half + 2) * self._half
        return f"/outputs/{file}?exp={expires}&sig={self._signature(file, str(expires))}"

    def good_for(self) -> float:
        """Seconds until a link that is made anew would differ."""
        return self._half - self._now().timestamp() % self._half

    def valid(self, file: str, query: str) -> bool:
        """Whether ``query``, as it stands after the ``?``, permits ``file`` now."""
        found = _QUERY.fullmatch(query)
        if found is None:
            return False
        right = self._signature(file, found["exp"])
        # The moment is believed only once the signature is.
        return hmac.compare_digest(right, found["sig"]) and self._now().timestamp() < int(found["exp"])

    def _signature(self, file: str, expires: str) -> str:
        message = _PURPOSE + f"{expires}\n{file}".encode(errors="surrogatepass")
        return base64.urlsafe_b64encode(hmac.digest(self._secret, message, "sha256")).rstrip(b"=").decode()
