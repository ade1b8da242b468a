"""Who is asking: users by the token that their issuer signed, programs by an API key.

Tokens are JWTs (RFC 7519), read as strictly as RFC 8725 advises. PyJWT checks signatures;
claims are checked here, because it takes ``exp: "12"`` for a number.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import structlog
from jwt import PyJWS, PyJWTError

from service.key_set import ALGORITHMS, KeySet, KeysUnknown, VerifyingKey
from service.sections import AuthSettings
from sessions import api_keys
from sessions.api_keys import ApiKey, Scope
from sessions.clock import Clock
from sessions.errors import IdentityUnavailable, Unauthenticated
from sessions.store import Store

_log = structlog.get_logger(__name__)

#: longest token, in bytes
_TOKEN_LIMIT = 8 << 10

#: for how long what is on record of an API key is believed, in seconds; a revocation takes as long
_KEY_SECONDS = 3.0

#: tokens whose signature need not be checked again
_REMEMBERED = 4096

#: what a user may do, as far as a token says
_USER_SCOPES = frozenset({Scope.SCENES})

#: media types of tokens that stand for a user (RFC 7519, 5.1; RFC 9068, 2.1)
_TYPES = frozenset({"jwt", "at+jwt"})

_SHARED = "HS256"

#: @supabase/ssr marks what it has encoded: https://github.com/supabase/ssr/blob/main/docs/design.md
_ENCODED = "base64-"

_jws = PyJWS(algorithms=[_SHARED, *ALGORITHMS], options={"enforce_minimum_key_length": True})


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who is asking, and what they may do."""

    id: str
    role: str | None
    scopes: frozenset[Scope]
    how: Literal["token", "key"]


@dataclass(frozen=True, kw_only=True)
class _Verified:
    """A token that was good, as long as the key is still the issuer's and the time has not come."""

    key: VerifyingKey
    wanted: tuple[Any, Any]
    caller: Caller
    expires: float


class Identity:
    """Tells who is asking. ``close`` after use."""

    def __init__(
        self,
        settings: AuthSettings,
        store: Store,
        now: Clock,
        tick: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._store = store
        self._now = now
        self._tick = tick
        secret = settings.jwt_secret
        self._secret = VerifyingKey(_SHARED, secret.get_secret_value().encode()) if secret else None
        self._key_set = KeySet(settings.jwks_url, tick) if settings.jwks_url else None
        self._api_keys: dict[str, tuple[ApiKey, float]] = {}
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()

    async def close(self) -> None:
        if self._key_set:
            await self._key_set.close()

    async def caller(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> Caller | None:
        """Who is asking; None if nothing was presented.

        An ``Authorization`` or ``X-API-Key`` header goes before the cookie, which a browser sends
        unasked. Raises ``Unauthenticated`` if what was presented is not valid,
        ``IdentityUnavailable`` or ``StoreUnavailable`` if that cannot be told at the moment.
        """
        authorization, api_key = headers.get("Authorization"), headers.get("X-API-Key")
        if authorization is not None and api_key is not None:
            _refuse("two credentials at once", reason="invalid_request")  # RFC 6750, 2
        if api_key is not None:
            return await self._by_key(api_key)
        if authorization is not None:
            scheme, _, credential = authorization.partition(" ")
            if scheme.lower() != "bearer":
                _refuse("another scheme than Bearer", reason="invalid_request")
            if credential.startswith(api_keys.PREFIX):
                return await self._by_key(credential)
            return await self._by_token(credential)
        cookie = _joined(cookies, self._settings.cookie) if self._settings.cookie else ""
        return await self._by_token(_token_in(cookie)) if cookie else None

    # ------------------------------------------------------------------ API keys

    async def _by_key(self, text: str) -> Caller:
        parts = api_keys.taken_apart(text)
        if parts is None:
            _refuse("not the form of an API key")
        key_id, secret = parts
        key = await self._on_record(key_id)
        if key is None or not key.opens_with(secret):
            _refuse("unknown API key")
        if key.revoked_at is not None:
            _refuse("revoked API key", api_key=key_id)
        return Caller(id=key.owner, role=None, scopes=key.scopes, how="key")

    async def _on_record(self, key_id: str) -> ApiKey | None:
        known = self._api_keys.get(key_id)
        if known is not None and self._tick() < known[1]:
            return known[0]
        believed = self._tick() + _KEY_SECONDS
        key = await self._store.api_key(key_id)
        # Only what exists is remembered: ids that are made up must not fill the memory.
        if key is not None:
            self._api_keys[key_id] = key, believed
        return key

    # ------------------------------------------------------------------ tokens

    async def _by_token(self, token: str) -> Caller:
        if len(token) > _TOKEN_LIMIT or not token.isascii():
            _refuse("not the form of a token")
        name = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(name)
        wanted = known.wanted if known else _wanted_key(token)
        key = await self._key(*wanted)
        # After the issuer's keys were fetched anew every signature is checked anew.
        if known is None or known.key is not key:
            claims = _signed_claims(token, key)
            known = _Verified(key=key, wanted=wanted, caller=self._user(claims), expires=_time(claims, "exp"))
            self._remember(name, known)
        if self._now().timestamp() >= known.expires + self._settings.leeway_seconds:
            _refuse("expired")
        return known.caller

    def _remember(self, name: bytes, verified: _Verified) -> None:
        self._verified[name] = verified
        self._verified.move_to_end(name)
        if len(self._verified) > _REMEMBERED:
            self._verified.popitem(last=False)

    async def _key(self, algorithm: Any, name: Any) -> VerifyingKey:
        """The key to check a token with; it is used with its own algorithm and no other."""
        key: VerifyingKey | None = None
        if algorithm == _SHARED:
            key = self._secret
        elif self._key_set and algorithm in ALGORITHMS and isinstance(name, str):
            try:
                key = await self._key_set.key(name)
            except KeysUnknown:
                raise IdentityUnavailable from None
        if key is None or key.algorithm != algorithm:
            _refuse("no key for it")
        return key

    def _user(self, claims: Mapping[str, Any]) -> Caller:
        settings, now = self._settings, self._now().timestamp()
        # What is not checked here is checked at every use: when it expires.
        for name in ("nbf", "iat"):
            if name in claims and _time(claims, name) > now + settings.leeway_seconds:
                _refuse(f"{name} lies ahead")
        if settings.issuer and claims.get("iss") != settings.issuer:
            _refuse("another issuer")
        if settings.audience and settings.audience not in _audiences(claims):
            _refuse("another audience")
        role = claims.get("role")
        if settings.roles and role not in settings.roles:
            _refuse("another role")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not api_keys.is_name(subject):
            _refuse("no usable sub")
        return Caller(
            id=subject, role=role if isinstance(role, str) else None, scopes=_USER_SCOPES, how="token"
        )


def _refuse(why: str, *, reason: str = "invalid_token", **ids: str) -> NoReturn:
    """Why is for the log: to a stranger every refusal looks the same."""
    _log.info("auth.refused", why=why, **ids)
    raise Unauthenticated(reason=reason) from None


def _wanted_key(token: str) -> tuple[Any, Any]:
    """Algorithm (alg) and name (kid) of the key that a token asks for.

    Where its header says keys are to be found (jku, x5u, jwk) is nobody's business.
    """
    try:
        header = json.loads(_decoded(token.partition(".")[0]))
    except (ValueError, RecursionError):
        _refuse("not the form of a token")
    if not isinstance(header, dict):
        _refuse("not the form of a token")
    kind = header.get("typ", "jwt")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in _TYPES:
        _refuse("a token of another kind")
    if "crit" in header or "b64" in header:
        _refuse("an extension that is not understood")  # RFC 7515, 4.1.11
    return header.get("alg"), header.get("kid")


def _signed_claims(token: str, key: VerifyingKey) -> dict[str, Any]:
    try:
        payload = _jws.decode_complete(token, key.material, algorithms=[key.algorithm])["payload"]
        claims = json.loads(payload)
    except (PyJWTError, ValueError, RecursionError, TypeError):
        _refuse("the signature does not hold")
    if not isinstance(claims, dict):
        _refuse("not the form of a token")
    return claims


def _time(claims: Mapping[str, Any], name: str) -> float:
    """A NumericDate (RFC 7519, 2)."""
    value = claims.get(name)
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        _refuse(f"no usable {name}")
    return number


def _audiences(claims: Mapping[str, Any]) -> list[Any]:
    """One audience, or several (RFC 7519, 4.1.3)."""
    given = claims.get("aud")
    return given if isinstance(given, list) else [given]


def _joined(cookies: Mapping[str, str], name: str) -> str:
    """A cookie's value, in one piece or in several: ``name``, or ``name.0``, ``name.1`` and so on."""
    whole = cookies.get(name, "")
    number = 0
    while name not in cookies and (piece := cookies.get(f"{name}.{number}")):
        whole += piece
        number += 1
    return whole


def _token_in(cookie: str) -> str:
    """The token of a cookie: the value itself, or part of a session as Supabase's libraries write it."""
    if not cookie.startswith(_ENCODED):
        return cookie
    try:
        session = json.loads(_decoded(cookie.removeprefix(_ENCODED)))
    except (ValueError, RecursionError):
        _refuse("not the form of a session cookie")
    token = session.get("access_token") if isinstance(session, dict) else None
    if not isinstance(token, str):
        _refuse("not the form of a session cookie")
    return token


def _decoded(text: str) -> bytes:
    """Base64url without padding (RFC 7515, 2). Raises ``ValueError``."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
