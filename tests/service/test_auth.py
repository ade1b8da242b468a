"""Who is asking: which tokens and keys are good, and that everything else is not."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm
from structlog.testing import capture_logs

from service import auth as module
from service.auth import Caller, Identity
from service.settings import load_settings
from sessions import api_keys
from sessions.api_keys import Scope
from sessions.database import Database
from sessions.errors import IdentityUnavailable, InvalidInput, Unauthenticated
from sessions.store import StoreUnavailable
from tests.wire.issuer import SECRET, Issuer, jwk, private_key, token

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
ISSUER = "https://project.supabase.co/auth/v1"
SUB = "6f0f2f1a-0d39-4b0c-9f3a-2f4b8f1f7c11"
#: as Supabase's Auth server writes them
CLAIMS = {
    "iss": ISSUER,
    "sub": SUB,
    "aud": "authenticated",
    "exp": SECONDS + 3600,
    "iat": SECONDS - 5,
    "email": "ann@example.com",
    "phone": "",
    "app_metadata": {"provider": "email", "providers": ["email"]},
    "user_metadata": {"role": "service_role", "sub": "somebody-else"},
    "role": "authenticated",
    "aal": "aal1",
    "amr": [{"method": "password", "timestamp": SECONDS - 5}],
    "session_id": "1c7e3f7e-4e5b-4e0e-9d7a-0f3d3a3c9a10",
    "is_anonymous": False,
}
USER = Caller(id=SUB, role="authenticated", scopes=frozenset({Scope.SCENES}), how="token")


@dataclass
class _Time:
    """A clock and a stopwatch, turned by hand."""

    now: datetime = NOW
    seconds: float = 1000.0

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds


@dataclass
class _Desk:
    """An identity with all that is around it."""

    database: Database
    issuer: Issuer
    time: _Time = field(default_factory=_Time)
    opened: list[Identity] = field(default_factory=list)

    def identity(self, **auth: Any) -> Identity:
        """Checks tokens with the secret and the key set; ``auth`` replaces settings."""
        values = {
            "mode": "jwt",
            "jwt_secret": SECRET,
            "jwks_url": self.issuer.url,
            "issuer": ISSUER,
            "audience": "authenticated",
            **auth,
        }
        settings = load_settings({"auth": values}, environ={}).auth
        identity = Identity(settings, self.database, lambda: self.time.now, lambda: self.time.seconds)
        self.opened.append(identity)
        return identity


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[_Desk]:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    await database.open()
    async with Issuer() as issuer:
        issuer.keys = [jwk(algorithm, kid) for algorithm, kid in _KIDS.items()]
        desk = _Desk(database, issuer)
        yield desk
        for identity in desk.opened:
            await identity.close()
    await database.close()


_KIDS = {"ES256": "first", "RS256": "second", "EdDSA": "third"}


def _bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


async def _asks(identity: Identity, text: str) -> Caller | None:
    return await identity.caller(_bearer(text), {})


async def _refusal(identity: Identity, text: str) -> str | None:
    """The reason of a refusal, as a client may see it."""
    with pytest.raises(Unauthenticated) as refused:
        await _asks(identity, text)
    return refused.value.reason


def _b64(data: bytes | Mapping[str, Any]) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _by_hand(header: Mapping[str, Any], claims: Mapping[str, Any] | bytes, key: bytes) -> str:
    """A token signed with HMAC, whatever its header says."""
    body = f"{_b64(header)}.{_b64(claims)}"
    return f"{body}.{_b64(hmac.new(key, body.encode(), hashlib.sha256).digest())}"


def _hs256(claims: Mapping[str, Any] | bytes = CLAIMS, **header: Any) -> str:
    return _by_hand({"alg": "HS256", "typ": "JWT", **header}, claims, SECRET.encode())


def _without(name: str) -> dict[str, Any]:
    return {key: value for key, value in CLAIMS.items() if key != name}


# ---------------------------------------------------------------------- good tokens


@pytest.mark.parametrize("algorithm", ["HS256", *_KIDS])
async def test_a_good_token_says_who_is_asking(desk: _Desk, algorithm: str) -> None:
    identity = desk.identity()
    good = token(CLAIMS, algorithm, _KIDS.get(algorithm))
    assert await _asks(identity, good) == USER
    assert await _asks(identity, good) == USER, "and again, without its signature being checked anew"


async def test_without_credentials_nobody_is_asking(desk: _Desk) -> None:
    assert await desk.identity().caller({}, {}) is None
    assert await desk.identity().caller({}, {"theme": "dark", "sb-access-token": ""}) is None


async def test_the_scheme_is_read_in_any_case(desk: _Desk) -> None:
    assert await desk.identity().caller({"Authorization": f"bEARER {token(CLAIMS)}"}, {}) == USER


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["other", "authenticated"]},
        {"nbf": SECONDS},
        {"nbf": SECONDS + 10},
        {"iat": SECONDS + 10},
        {"exp": SECONDS - 9},
        {"exp": SECONDS + 0.5},
        {"sub": "x" * 255},
    ],
)
async def test_claims_at_the_edge_of_what_is_good(desk: _Desk, changes: dict[str, Any]) -> None:
    caller = await _asks(desk.identity(), token({**CLAIMS, **changes}))
    assert caller is not None
    assert caller.id == {**CLAIMS, **changes}["sub"]


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt"])
async def test_the_kinds_of_token_that_stand_for_users(desk: _Desk, kind: str) -> None:
    assert await _asks(desk.identity(), _hs256(typ=kind)) == USER


async def test_what_is_not_set_is_not_checked(desk: _Desk) -> None:
    identity = desk.identity(issuer="", audience="", roles=[])
    caller = await _asks(identity, token({"sub": "ann", "exp": SECONDS + 60}))
    assert caller == Caller(id="ann", role=None, scopes=frozenset({Scope.SCENES}), how="token")


async def test_a_key_that_names_no_algorithm_is_used_with_that_of_its_kind(desk: _Desk) -> None:
    desk.issuer.keys = [{**jwk("ES256", "first"), "key_ops": ["verify"]}]
    del desk.issuer.keys[0]["alg"], desk.issuer.keys[0]["use"]
    assert await _asks(desk.identity(), token(CLAIMS)) == USER


# ---------------------------------------------------------------------- bad tokens


def _pem(algorithm: str) -> bytes:
    public = private_key(algorithm).public_key()
    return bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def _swapped(good: str, **claims: Any) -> str:
    """Other claims under the signature of a good token."""
    header, _, signature = good.split(".")
    return f"{header}.{_b64({**CLAIMS, **claims})}.{signature}"


BAD: Mapping[str, Callable[[], str]] = {
    "empty": lambda: "",
    "no token": lambda: "nonsense",
    "two parts": lambda: ".".join(token(CLAIMS).split(".")[:2]),
    "four parts": lambda: token(CLAIMS) + ".AAAA",
    "five parts, as if encrypted": lambda: "e30.e30.e30.e30.e30",
    "letters outside base64url": lambda: token(CLAIMS).replace(".", ".!", 1),
    "not ASCII": lambda: token(CLAIMS) + "é",
    "a line break at the end": lambda: token(CLAIMS) + "\n",
    "two tokens": lambda: f"{token(CLAIMS)} {token(CLAIMS)}",
    "too long": lambda: token({**CLAIMS, "x": "x" * 9000}, "HS256"),
    "header is a list": lambda: f"{_b64(b'[]')}.{_b64(CLAIMS)}.AAAA",
    "header nested without end": lambda: f"{_b64(b'[' * 3000)}.{_b64(CLAIMS)}.AAAA",
    "header is no JSON": lambda: f"{_b64(b'{')}.{_b64(CLAIMS)}.AAAA",
    "claims are a list": lambda: _hs256(b"[]"),
    "claims are no JSON": lambda: _hs256(b"{"),
    "claims in UTF-16": lambda: _hs256(b"\xff\xfe{\x00"),
    "alg none": lambda: f"{_b64({'alg': 'none', 'typ': 'JWT'})}.{_b64(CLAIMS)}.",
    "alg NONE with a signature": lambda: f"{_b64({'alg': 'NONE'})}.{_b64(CLAIMS)}.AAAA",
    "alg none with a key's name": lambda: f"{_b64({'alg': 'none', 'kid': 'first'})}.{_b64(CLAIMS)}.",
    "no alg": lambda: _by_hand({"typ": "JWT"}, CLAIMS, SECRET.encode()),
    "alg is a list": lambda: _by_hand({"alg": ["HS256"]}, CLAIMS, SECRET.encode()),
    "alg in small letters": lambda: _by_hand({"alg": "hs256"}, CLAIMS, SECRET.encode()),
    "HS256 with another secret": lambda: _by_hand({"alg": "HS256"}, CLAIMS, b"x" * 48),
    "HS256 with an empty secret": lambda: _by_hand({"alg": "HS256"}, CLAIMS, b""),
    "HS256 with the public key of RS256": lambda: _by_hand(
        {"alg": "HS256", "kid": "second"}, CLAIMS, _pem("RS256")
    ),
    "HS256 with the public key of ES256": lambda: _by_hand(
        {"alg": "HS256", "kid": "first"}, CLAIMS, _pem("ES256")
    ),
    "HS512": lambda: _by_hand({"alg": "HS512"}, CLAIMS, SECRET.encode()),
    "ES256 signed with the shared secret": lambda: _by_hand(
        {"alg": "ES256", "kid": "first"}, CLAIMS, SECRET.encode()
    ),
    "RS256 by the name of a key for ES256": lambda: token(CLAIMS, "RS256", "first"),
    "RS512 by the name of a key for RS256": lambda: token(CLAIMS, "RS512", "second"),
    "ES384": lambda: token(CLAIMS, "ES384"),
    "signed with another key of that name": lambda: token(CLAIMS, number=1),
    "a key that is not the issuer's": lambda: token(CLAIMS, kid="nobody's"),
    "a key without a name": lambda: token(CLAIMS, kid=None),
    "a name that is a number": lambda: _by_hand({"alg": "ES256", "kid": 1}, CLAIMS, b"x"),
    "the key in the header": lambda: token(CLAIMS, kid=None, number=1, jwk=jwk("ES256", "x", 1)),
    "claims swapped": lambda: _swapped(token(CLAIMS), sub="somebody-else"),
    "signature cut off": lambda: token(CLAIMS).rpartition(".")[0] + ".",
    "signature turned into DER": lambda: (
        token(CLAIMS).rpartition(".")[0] + "." + _b64(b"\x30\x44" + b"x" * 68)
    ),
    "signature of zeros": lambda: token(CLAIMS).rpartition(".")[0] + "." + _b64(bytes(64)),
    "crit": lambda: _hs256(crit=["exp"]),
    "crit with what a library knows": lambda: _hs256(crit=["b64"], b64=True),
    "an empty crit": lambda: _hs256(crit=[]),
    "b64": lambda: _hs256(b64=False),
    "a token of another kind": lambda: _hs256(typ="logout+jwt"),
    "a kind that is no word": lambda: _hs256(typ=["JWT"]),
    "no exp": lambda: _hs256(_without("exp")),
    "exp is null": lambda: _hs256({**CLAIMS, "exp": None}),
    "exp is text": lambda: _hs256({**CLAIMS, "exp": str(SECONDS + 3600)}),
    "exp is true": lambda: _hs256({**CLAIMS, "exp": True}),
    "exp is not a number": lambda: _hs256({**CLAIMS, "exp": float("nan")}),
    "exp is endless": lambda: _hs256({**CLAIMS, "exp": float("inf")}),
    "exp has 400 digits": lambda: _hs256({**CLAIMS, "exp": 10**400}),
    "exp has 5000 digits": lambda: _hs256(f'{{"exp": {"9" * 5000}}}'.encode()),
    "expired": lambda: token({**CLAIMS, "exp": SECONDS - 10}),
    "not yet": lambda: token({**CLAIMS, "nbf": SECONDS + 11}),
    "nbf is text": lambda: _hs256({**CLAIMS, "nbf": "0"}),
    "issued in the future": lambda: token({**CLAIMS, "iat": SECONDS + 11}),
    "iat is null": lambda: _hs256({**CLAIMS, "iat": None}),
    "another issuer": lambda: token({**CLAIMS, "iss": ISSUER + "/"}),
    "no issuer": lambda: token(_without("iss")),
    "a list of issuers": lambda: _hs256({**CLAIMS, "iss": [ISSUER]}),
    "another audience": lambda: token({**CLAIMS, "aud": "authenticated-not"}),
    "no audience": lambda: token(_without("aud")),
    "an audience in an object": lambda: token({**CLAIMS, "aud": {"authenticated": 1}}),
    "the role of Supabase's public key": lambda: token({**CLAIMS, "role": "anon"}),
    "the role of Supabase's service key": lambda: token({**CLAIMS, "role": "service_role"}),
    "no role": lambda: token(_without("role")),
    "a list of roles": lambda: token({**CLAIMS, "role": ["authenticated"]}),
    "no sub": lambda: token(_without("sub")),
    "an empty sub": lambda: token({**CLAIMS, "sub": ""}),
    "a blank sub": lambda: token({**CLAIMS, "sub": "  "}),
    "a sub that is a number": lambda: _hs256({**CLAIMS, "sub": 7}),
    "a sub that is too long": lambda: token({**CLAIMS, "sub": "x" * 256}),
    "a sub with a line break": lambda: token({**CLAIMS, "sub": "ann\nlevel=error"}),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_token_is_refused(desk: _Desk, name: str) -> None:
    identity = desk.identity()
    assert await _refusal(identity, BAD[name]()) == "invalid_token"
    assert await _refusal(identity, BAD[name]()) == "invalid_token", "and the second time too"


async def test_a_stranger_cannot_tell_one_refusal_from_another(desk: _Desk) -> None:
    identity = desk.identity()
    seen = set()
    for name in BAD:
        with pytest.raises(Unauthenticated) as refused:
            await _asks(identity, BAD[name]())
        seen.add((refused.value.reason, refused.value.message, repr(refused.value.details)))
        assert refused.value.__cause__ is None
        assert refused.value.__suppress_context__
    assert len(seen) == 1


async def test_what_was_refused_is_in_the_log_without_the_token(desk: _Desk) -> None:
    identity = desk.identity()
    expired = token({**CLAIMS, "exp": SECONDS - 10})
    with capture_logs() as lines:
        await _refusal(identity, expired)
    assert {line["event"]: line.get("why") for line in lines} == {
        "auth.keys.fetched": None,
        "auth.refused": "expired",
    }
    assert not any(part in repr(lines) for part in expired.split("."))


async def test_addresses_in_a_header_are_never_asked(desk: _Desk) -> None:
    async with Issuer() as foreign:
        foreign.keys = [jwk("ES256", "first", 1)]
        identity = desk.identity()
        for header in ({"jku": foreign.url}, {"x5u": foreign.url}):
            await _refusal(identity, token(CLAIMS, number=1, **header))
        assert foreign.asked == 0


@pytest.mark.parametrize("algorithm", ["HS256", "ES256"])
async def test_only_what_is_set_up_checks_tokens(desk: _Desk, algorithm: str) -> None:
    changes: dict[str, Any] = {"jwt_secret": None} if algorithm == "HS256" else {"jwks_url": ""}
    assert await _refusal(desk.identity(**changes), token(CLAIMS, algorithm)) == "invalid_token"
    assert desk.issuer.asked == 0


async def test_a_token_expires_although_it_was_good_before(desk: _Desk) -> None:
    identity = desk.identity()
    good = token({**CLAIMS, "exp": SECONDS + 60})
    assert await _asks(identity, good) == USER
    desk.time.pass_(69.9)
    assert await _asks(identity, good) == USER, "the issuer's clock may be ten seconds off"
    desk.time.pass_(0.1)
    assert await _refusal(identity, good) == "invalid_token"


async def test_only_so_many_tokens_are_remembered(desk: _Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 3)
    identity = desk.identity()
    for number in range(5):
        await _asks(identity, token({**CLAIMS, "sub": f"user-{number}"}, "HS256"))
        assert len(identity._verified) <= 3
    caller = await _asks(identity, token({**CLAIMS, "sub": "user-0"}, "HS256"))
    assert caller is not None
    assert caller.id == "user-0"


# ---------------------------------------------------------------------- where it is presented


async def test_credentials_in_two_headers_are_refused(desk: _Desk) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await desk.identity().caller({**_bearer(token(CLAIMS)), "X-API-Key": "swk_"}, {})
    assert refused.value.reason == "invalid_request"


@pytest.mark.parametrize("header", ["", "Basic YW5uOnNlY3JldA==", "Token x", "Bearer"])
async def test_another_scheme_is_refused_even_beside_a_good_cookie(desk: _Desk, header: str) -> None:
    with pytest.raises(Unauthenticated):
        await desk.identity().caller({"Authorization": header}, {"sb-access-token": token(CLAIMS)})


async def test_a_header_goes_before_the_cookie(desk: _Desk) -> None:
    identity = desk.identity()
    cookies = {"sb-access-token": token({**CLAIMS, "sub": "cookie"})}
    assert await identity.caller(_bearer(token(CLAIMS)), cookies) == USER
    with pytest.raises(Unauthenticated):
        await identity.caller(_bearer("nonsense"), cookies)


def _session(size: int = 0) -> str:
    """A session as @supabase/ssr writes it."""
    user = {"id": SUB, "user_metadata": {"name": "Zoë 🪔" + "x" * size}}
    return "base64-" + _b64({"access_token": token(CLAIMS), "refresh_token": "abc", "user": user})


def _in_pieces(name: str, value: str, size: int = 3180) -> dict[str, str]:
    pieces = [value[start : start + size] for start in range(0, len(value), size)]
    return {f"{name}.{number}": piece for number, piece in enumerate(pieces)}


async def test_a_cookie_holds_a_token_or_a_session_in_one_or_several_pieces(desk: _Desk) -> None:
    name = "sb-project-auth-token"
    identity = desk.identity(cookie=name)
    large = _in_pieces(name, _session(5000))
    assert len(large) == 3
    for cookies in (
        {name: token(CLAIMS)},
        _in_pieces(name, token(CLAIMS), 100),
        {name: _session()},
        large,
        {**large, f"{name}.7": "left behind by a longer one"},
        {**_in_pieces(name, "stale", 2), name: _session()},
    ):
        assert await identity.caller({}, {**cookies, "theme": "dark"}) == USER


@pytest.mark.parametrize(
    "value",
    [
        "base64-",
        "base64-!!!",
        "base64-" + _b64(b"{"),
        "base64-" + _b64(b"[]"),
        "base64-" + _b64(b"\xff"),
        "base64-" + _b64(b"[" * 5000),
        "base64-" + _b64({"access_token": None}),
        "base64-" + _b64({"access_token": ""}),
        "base65-" + _b64({"access_token": "x"}),
    ],
)
async def test_a_cookie_that_holds_no_session_is_refused(desk: _Desk, value: str) -> None:
    with pytest.raises(Unauthenticated):
        await desk.identity().caller({}, {"sb-access-token": value})


async def test_a_session_whose_middle_is_missing_is_refused(desk: _Desk) -> None:
    pieces = _in_pieces("sb-access-token", _session(5000))
    del pieces["sb-access-token.1"]
    with pytest.raises(Unauthenticated):
        await desk.identity().caller({}, pieces)


async def test_no_cookie_is_looked_at_if_none_is_named(desk: _Desk) -> None:
    assert await desk.identity(cookie="").caller({}, {"": "x", "sb-access-token": "x"}) is None


# ---------------------------------------------------------------------- the issuer's keys


async def test_many_who_wait_share_one_fetch(desk: _Desk) -> None:
    desk.issuer.gate.clear()
    identity = desk.identity()
    waiting = [asyncio.create_task(_asks(identity, token(CLAIMS))) for _ in range(50)]
    while not desk.issuer.asked:
        await asyncio.sleep(0)
    waiting[0].cancel()
    desk.issuer.gate.set()
    async with asyncio.timeout(5):
        found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError), "one that leaves disturbs nobody"
    assert found[1:] == [USER] * 49
    assert desk.issuer.asked == 1


async def test_a_new_key_is_taken_and_a_withdrawn_one_ends(desk: _Desk) -> None:
    identity = desk.identity()
    old, new = token(CLAIMS), token(CLAIMS, kid="next", number=1)
    assert await _asks(identity, old) == USER
    desk.issuer.keys = [jwk("ES256", "first"), jwk("ES256", "next", 1)]
    desk.time.pass_(60)
    assert await _asks(identity, new) == USER
    assert await _asks(identity, old) == USER, "both are good while the issuer publishes both"
    assert desk.issuer.asked == 2
    desk.issuer.keys = [jwk("ES256", "next", 1)]
    desk.time.pass_(1200)
    assert await _refusal(identity, old) == "invalid_token", "although it had been remembered as good"
    assert await _asks(identity, new) == USER


async def test_another_key_under_the_old_name_replaces_it(desk: _Desk) -> None:
    identity = desk.identity()
    old, new = token(CLAIMS), token(CLAIMS, number=1)
    assert await _asks(identity, old) == USER
    desk.issuer.keys = [jwk("ES256", "first", 1)]
    desk.time.pass_(1200)
    assert await _asks(identity, new) == USER
    assert await _refusal(identity, old) == "invalid_token"


async def test_a_step_from_the_shared_secret_to_the_key_set_needs_no_pause(desk: _Desk) -> None:
    identity = desk.identity()
    assert await _asks(identity, token(CLAIMS, "HS256")) == USER
    assert await _asks(identity, token(CLAIMS, "ES256")) == USER
    after = desk.identity(jwt_secret=None)
    assert await _refusal(after, token(CLAIMS, "HS256")) == "invalid_token"
    assert await _asks(after, token(CLAIMS, "ES256")) == USER


async def test_keys_that_are_not_fresh_serve_while_others_are_fetched(desk: _Desk) -> None:
    identity = desk.identity()
    good = token(CLAIMS)
    await _asks(identity, good)
    desk.time.pass_(600)
    desk.issuer.gate.clear()
    async with asyncio.timeout(5):
        assert await _asks(identity, good) == USER
        while desk.issuer.asked < 2:
            await asyncio.sleep(0)


async def test_an_endpoint_that_is_away_leaves_its_keys_in_use_for_a_day(desk: _Desk) -> None:
    identity = desk.identity()
    good = token({**CLAIMS, "exp": SECONDS + 200_000})
    assert await _asks(identity, good) == USER
    desk.issuer.status = 503
    for _ in range(23):
        desk.time.pass_(3600)
        assert await _asks(identity, good) == USER
        assert await _asks(identity, good) == USER
    assert desk.issuer.asked == 24, "tried anew, but not at every request"
    desk.time.pass_(3600)
    with pytest.raises(IdentityUnavailable):
        await _asks(identity, good)
    desk.issuer.status = 200
    desk.time.pass_(5)
    assert await _asks(identity, good) == USER


async def test_before_the_first_keys_nobody_is_called_a_stranger(desk: _Desk) -> None:
    desk.issuer.status = 500
    identity = desk.identity()
    for _ in range(10):
        with pytest.raises(IdentityUnavailable):
            await _asks(identity, token(CLAIMS))
    assert desk.issuer.asked == 1
    assert await _asks(identity, token(CLAIMS, "HS256")) == USER, "which needs no key set"
    desk.issuer.status = 200
    desk.time.pass_(5)
    assert await _asks(identity, token(CLAIMS)) == USER


async def test_an_endpoint_that_does_not_exist_is_an_endpoint_that_is_away(desk: _Desk) -> None:
    async with Issuer() as gone:
        url = gone.url
    with pytest.raises(IdentityUnavailable):
        await _asks(desk.identity(jwks_url=url), token(CLAIMS))


async def test_made_up_keys_lead_to_one_fetch_a_minute(desk: _Desk) -> None:
    identity = desk.identity()
    for minute in range(1, 4):
        for number in range(200):
            await _refusal(identity, _by_hand({"alg": "ES256", "kid": f"{minute}-{number}"}, CLAIMS, b"x"))
            desk.time.pass_(59.9 / 200)
        assert desk.issuer.asked == minute
        desk.time.pass_(0.2)
    assert await _asks(identity, token(CLAIMS)) == USER
    assert identity._key_set is not None
    assert len(identity._key_set._keys) == 3


async def test_made_up_keys_lead_to_one_fetch_a_minute_while_the_endpoint_is_away(desk: _Desk) -> None:
    identity = desk.identity()
    await _asks(identity, token(CLAIMS))
    desk.issuer.status = 503
    desk.time.pass_(700)
    for number in range(200):
        await _refusal(identity, _by_hand({"alg": "ES256", "kid": f"{number}"}, CLAIMS, b"x"))
        desk.time.pass_(59.9 / 200)
    assert desk.issuer.asked == 2


@pytest.mark.parametrize("status", [204, 301, 302, 307, 308, 404, 500])
async def test_only_a_plain_answer_brings_keys(desk: _Desk, status: int) -> None:
    desk.issuer.status = status
    with pytest.raises(IdentityUnavailable):
        await _asks(desk.identity(), token(CLAIMS))
    assert desk.issuer.asked == 1, "a redirect is not followed"


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b'"keys"',
        b'{"keys": {}}',
        b"{}",
        b"\xff",
        b"[" * 60_000,
        b" " * (64 << 10) + b'{"keys": []}',
    ],
)
async def test_what_is_no_key_set_leaves_the_known_keys_alone(desk: _Desk, body: bytes) -> None:
    identity = desk.identity()
    assert await _asks(identity, token(CLAIMS)) == USER
    desk.issuer.body = body
    desk.time.pass_(1200)
    assert await _asks(identity, token(CLAIMS)) == USER
    assert desk.issuer.asked == 2


async def test_an_empty_key_set_is_the_issuers_last_word(desk: _Desk) -> None:
    """As of a Supabase project that still signs with its shared secret."""
    desk.issuer.keys = []
    assert await _refusal(desk.identity(), token(CLAIMS)) == "invalid_token"
    assert await _asks(desk.identity(), token(CLAIMS, "HS256")) == USER


async def test_keys_that_are_not_for_us_are_passed_over(desk: _Desk) -> None:
    secret = {"kty": "oct", "k": _b64(SECRET.encode()), "kid": "first", "alg": "HS256"}
    unusable = [
        None,
        "key",
        {},
        secret,
        jwk("ES256", "first", 1, use="enc"),
        jwk("ES256", "first", 1, key_ops=["sign"]),
        jwk("ES256", "first", 1, alg="ES384"),
        jwk("ES256", "first", 1, alg=None),
        jwk("ES256", "first", 1, crv="P-384"),
        jwk("ES256", "first", 1, **ECAlgorithm.to_jwk(private_key("ES256", 1), as_dict=True)),
        jwk("ES256", "first", 1, x="AAAA"),
        jwk("ES256", "first", 1, x=5),
        jwk("ES256", "", 1),
        jwk("ES256", 7, 1),
        jwk("ES256", "first", 1, kty=["EC"]),
        jwk("RSA1024", "first", alg="RS256"),
        jwk("RS256", "first", alg="PS256"),
        jwk("RS256", "first", n=None),
    ]
    desk.issuer.keys = [jwk("ES256", "first"), *unusable]
    identity = desk.identity()
    assert await _asks(identity, token(CLAIMS)) == USER
    desk.issuer.keys = unusable
    identity = desk.identity()
    assert await _refusal(identity, token(CLAIMS, number=1)) == "invalid_token"
    assert identity._key_set is not None
    assert identity._key_set._keys == {}


async def test_a_key_is_used_with_its_own_algorithm_only(desk: _Desk) -> None:
    """An RSA key for RS256 must not check RS512, PS256 or HS256."""
    identity = desk.identity(jwt_secret=None)
    for algorithm in ("RS512", "PS256"):
        assert await _refusal(identity, token(CLAIMS, algorithm, "second")) == "invalid_token"
    for key in (_pem("RS256"), _pem("RS256").strip(), json.dumps(jwk("RS256", "second")).encode()):
        confused = _by_hand({"alg": "HS256", "kid": "second"}, CLAIMS, key)
        assert await _refusal(identity, confused) == "invalid_token"


# ---------------------------------------------------------------------- API keys


async def _issued(desk: _Desk, *scopes: Scope, owner: str = "nightly-batch") -> str:
    key, text = api_keys.issue(owner, label="nightly", scopes=scopes or [Scope.BATCH], now=NOW)
    await desk.database.add_api_key(key)
    return text


@pytest.mark.parametrize("scopes", [{Scope.BATCH}, {Scope.SCENES, Scope.ADMIN}])
async def test_an_api_key_acts_as_its_owner_within_its_scopes(desk: _Desk, scopes: set[Scope]) -> None:
    text = await _issued(desk, *scopes)
    identity = desk.identity()
    expected = Caller(id="nightly-batch", role=None, scopes=frozenset(scopes), how="key")
    assert await _asks(identity, text) == expected
    assert await identity.caller({"X-API-Key": text}, {}) == expected


async def test_api_keys_need_no_issuer_of_tokens(desk: _Desk) -> None:
    desk.issuer.status = 500
    assert await _asks(desk.identity(), await _issued(desk)) is not None
    assert desk.issuer.asked == 0


async def test_an_api_key_that_is_not_one_is_refused(desk: _Desk) -> None:
    text = await _issued(desk)
    other = await _issued(desk)
    prefix, key_id, secret = text.split("_")
    bad = {
        "wrong secret": f"{prefix}_{key_id}_{'0' * 64}",
        "another key's secret": f"{prefix}_{key_id}_{other.rpartition('_')[2]}",
        "unknown": f"{prefix}_{'0' * 16}_{secret}",
        "the hash instead of the secret": f"{prefix}_{key_id}_{hashlib.sha256(secret.encode()).hexdigest()}",
        "half a secret": text[:-32],
        "more": text + "0",
        "capitals": text.upper(),
        "a line break": text + "\n",
        "no secret": f"{prefix}_{key_id}_",
        "only the prefix": "swk_",
        "other digits": f"{prefix}_{key_id}_{'٣' * 64}",
        "SQL": f"{prefix}_' OR 1=1 --_{secret}",
    }
    identity = desk.identity()
    for name, presented in bad.items():
        for headers in (_bearer(presented), {"X-API-Key": presented}):
            with pytest.raises(Unauthenticated) as refused:
                await identity.caller(headers, {})
            assert refused.value.reason == "invalid_token", name
    for name in ("", token(CLAIMS), text.removeprefix("swk_")):
        with pytest.raises(Unauthenticated):
            await identity.caller({"X-API-Key": name}, {})
    assert await _asks(identity, text) is not None


async def test_a_revoked_key_opens_nothing_within_seconds(desk: _Desk) -> None:
    text = await _issued(desk)
    identity = desk.identity()
    await _asks(identity, text)
    await desk.database.revoke_api_key(text.split("_")[1], NOW)
    desk.time.pass_(3)
    assert await _refusal(identity, text) == "invalid_token"


async def test_a_key_is_not_looked_up_at_every_request(desk: _Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    text = await _issued(desk)
    identity = desk.identity()
    looked_up = []
    api_key = desk.database.api_key

    async def counted(key_id: str) -> api_keys.ApiKey | None:
        looked_up.append(key_id)
        return await api_key(key_id)

    monkeypatch.setattr(desk.database, "api_key", counted)
    for _ in range(10):
        await _asks(identity, text)
    assert len(looked_up) == 1
    for number in range(10):
        await _refusal(identity, f"swk_{number:016x}_{'0' * 64}")
    assert len(identity._api_keys) == 1, "made-up ids fill no memory"


async def test_a_store_that_is_away_calls_nobody_a_stranger(desk: _Desk) -> None:
    text = await _issued(desk)
    await desk.database.close()
    with pytest.raises(StoreUnavailable):
        await _asks(desk.identity(), text)


@pytest.mark.parametrize(
    ("owner", "label", "scopes"),
    [
        ("", "x", [Scope.BATCH]),
        ("  ", "x", [Scope.BATCH]),
        ("x" * 256, "x", [Scope.BATCH]),
        ("a\nb", "x", [Scope.BATCH]),
        ("ann", "\x1b[2J", [Scope.BATCH]),
        ("ann", "x" * 256, [Scope.BATCH]),
        ("ann", "x", []),
    ],
)
def test_a_key_is_issued_to_somebody_for_something(owner: str, label: str, scopes: list[Scope]) -> None:
    with pytest.raises(InvalidInput):
        api_keys.issue(owner, label=label, scopes=scopes, now=NOW)


def test_no_two_keys_are_alike_and_their_secrets_are_256_bits() -> None:
    texts = {api_keys.issue("ann", label="", scopes=[Scope.BATCH], now=NOW)[1] for _ in range(100)}
    assert len({text.split("_")[1] for text in texts}) == 100
    assert all(len(bytes.fromhex(text.split("_")[2])) == 32 for text in texts)


# ---------------------------------------------------------------------- secrets stay secret


async def test_no_secret_is_shown_or_logged(desk: _Desk) -> None:
    text = await _issued(desk)
    key_id, secret = text.split("_")[1:]
    identity = desk.identity()
    with capture_logs() as lines:
        await _asks(identity, text)
        await _refusal(identity, text[:-1] + ("1" if text.endswith("0") else "0"))
        await _refusal(identity, text[:-1])
        await _asks(identity, token(CLAIMS, "HS256"))
        await _refusal(identity, _by_hand({"alg": "HS256"}, CLAIMS, b"x" * 32))
    record = await desk.database.api_key(key_id)
    assert record is not None
    shown = repr([lines, record, identity, vars(identity), identity._settings])
    assert secret[:-1] not in shown
    assert record.digest not in shown
    assert SECRET not in shown
    assert SECRET not in str(identity._settings) + identity._settings.model_dump_json()


async def test_the_secret_of_a_key_is_nowhere_in_the_database(desk: _Desk) -> None:
    text = await _issued(desk)
    content = b"".join(file.read_bytes() for file in desk.database.path.parent.glob("test.db*"))
    assert text.split("_")[1].encode() in content
    assert text.split("_")[2].encode() not in content
