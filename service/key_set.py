"""An issuer's published keys (JWKS, RFC 7517), fetched when they are needed and kept for a while."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import structlog
from jwt import PyJWK, PyJWTError

_log = structlog.get_logger(__name__)

#: keys are fetched anew at this age, in seconds; Supabase lets caches keep them as long
#: (https://supabase.com/docs/guides/auth/signing-keys)
_FRESH = 600.0

#: from this age on nobody is served before a fetch has been tried: a withdrawn key must not live on
#: because nobody has asked for a while
_OLD = 1200.0

#: an endpoint that is away leaves its keys in use up to this age, in seconds
_STALE = 86400.0

#: least time between two fetches for the sake of unknown keys: whoever asks can make those up
_FORCED = 60.0

#: least time between two tries after one has failed: with keys at hand, and without any
_AGAIN, _AGAIN_WITHOUT = 60.0, 5.0

#: a fetch takes no longer, in seconds, and brings no more bytes
_PATIENCE, _SIZE_LIMIT = 5.0, 64 << 10

#: the one algorithm for each kind of key; whatever is not listed is not used
_ALGORITHMS = {("EC", "P-256"): "ES256", ("RSA", None): "RS256", ("OKP", "Ed25519"): "EdDSA"}

ALGORITHMS = tuple(_ALGORITHMS.values())


class KeysUnknown(Exception):
    """No keys have been fetched yet, or none for so long that they cannot be relied upon."""


@dataclass(frozen=True, eq=False)
class VerifyingKey:
    """A key, and the only algorithm that it is used with. The same fetch gives the same object."""

    algorithm: str
    material: Any = field(repr=False)


class KeySet:
    """The keys at ``url``. One fetch at a time, however many wait for it."""

    def __init__(self, url: str, tick: Callable[[], float]) -> None:
        self._url = url
        self._tick = tick
        self._session: aiohttp.ClientSession | None = None
        self._keys: dict[str, VerifyingKey] = {}
        self._fetched: float | None = None
        self._tried = self._forced = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._fetching:
            self._fetching.cancel()
            await asyncio.wait({self._fetching})
        if self._session:
            await self._session.close()

    async def key(self, name: str) -> VerifyingKey | None:
        """The key of that name (kid), or None if the issuer has none such. Raises ``KeysUnknown``."""
        if name not in self._keys or self._age() >= _FRESH:
            self._fetch_if_due(known=name in self._keys)
            if self._fetching and (name not in self._keys or self._age() >= _OLD):
                await asyncio.wait({self._fetching})
        if self._age() >= _STALE:
            raise KeysUnknown
        return self._keys.get(name)

    def _age(self) -> float:
        return float("inf") if self._fetched is None else self._tick() - self._fetched

    def _fetch_if_due(self, *, known: bool) -> None:
        now = self._tick()
        have_keys = self._age() < _STALE
        if self._age() < _FRESH:
            due = now - self._forced >= _FORCED
        else:
            due = now - self._tried >= (_AGAIN if have_keys else _AGAIN_WITHOUT)
        if due and self._fetching is None:
            self._tried = now
            if not known:
                self._forced = now
            self._fetching = asyncio.create_task(self._fetch(), name="fetch keys")

    async def _fetch(self) -> None:
        try:
            self._keys = _usable(await self._read())
            self._fetched = self._tick()
            _log.info("auth.keys.fetched", keys=sorted(self._keys))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RecursionError) as error:
            _log.warning("auth.keys.unavailable", reason=str(error) or type(error).__name__)
        finally:
            self._fetching = None

    async def _read(self) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=_PATIENCE),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            )
        # A redirect could lead to keys that somebody else has written.
        async with self._session.get(self._url, allow_redirects=False) as answer:
            if answer.status != 200:  # noqa: PLR2004 - the one good answer to a plain GET
                raise ValueError(f"the key set's address answers {answer.status}")
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > _SIZE_LIMIT:
                    raise ValueError(f"the key set is larger than {_SIZE_LIMIT} bytes")
            return bytes(body)


def _usable(document: bytes) -> dict[str, VerifyingKey]:
    """The keys for signatures in a key set, by name. Raises ``ValueError`` if it is no key set."""
    parsed = json.loads(document)
    if not isinstance(parsed, dict) or not isinstance(parsed.get("keys"), list):
        raise ValueError("what the key set's address gives is no key set")  # noqa: TRY004 - wrong content
    found: dict[str, VerifyingKey] = {}
    for item in parsed["keys"]:
        # RFC 7517, 5: what is not understood is passed over.
        with contextlib.suppress(PyJWTError, ValueError, LookupError, TypeError, AttributeError):
            name, key = _public_key(item)
            found[name] = key
    return found


def _public_key(item: dict[str, Any]) -> tuple[str, VerifyingKey]:
    """One key of a set, by its name. Raises if it is none for us."""
    algorithm = _ALGORITHMS[item["kty"], item.get("crv")]
    if item.get("alg", algorithm) != algorithm:
        raise ValueError("the key is meant for another algorithm")
    if item.get("use", "sig") != "sig" or "verify" not in item.get("key_ops", ["verify"]):
        raise ValueError("the key is meant for other things than signatures")
    if "d" in item:
        raise ValueError("a private key that is published belongs to everybody")
    name = item["kid"]
    if not isinstance(name, str) or not name:
        raise ValueError("the key has no name")
    key = PyJWK(item, algorithm)
    if too_short := key.Algorithm.check_key_length(key.key):
        raise ValueError(too_short)
    return name, VerifyingKey(algorithm, key.key)
