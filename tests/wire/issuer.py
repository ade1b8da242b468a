"""An issuer of tokens: makes and withdraws keys, signs, and publishes its key set over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from functools import cache
from types import TracebackType
from typing import Any, Self

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

SECRET = "a secret that an issuer shares with its services"


@cache
def private_key(algorithm: str, number: int = 0) -> Any:
    """A key for ``algorithm``; another ``number`` is another key."""
    match algorithm:
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ES384":
            return ec.generate_private_key(ec.SECP384R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        case "RSA1024":
            return rsa.generate_private_key(public_exponent=65537, key_size=1024)
        case _:
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def jwk(algorithm: str, kid: Any, number: int = 0, **changes: Any) -> dict[str, Any]:
    """The public half of that key, as it stands in a key set."""
    public = private_key(algorithm, number).public_key()
    form: Any = {"ES256": ECAlgorithm, "ES384": ECAlgorithm, "EdDSA": OKPAlgorithm}.get(
        algorithm, RSAAlgorithm
    )
    return {**json.loads(form.to_jwk(public)), "kid": kid, "alg": algorithm, "use": "sig", **changes}


def token(
    claims: Mapping[str, Any],
    algorithm: str = "ES256",
    kid: str | None = "first",
    number: int = 0,
    **header: Any,
) -> str:
    """A signed token; ``header`` is put on top of the usual one."""
    key = SECRET if algorithm == "HS256" else private_key(algorithm, number)
    named = {} if kid is None or algorithm == "HS256" else {"kid": kid}
    return jwt.encode(dict(claims), key, algorithm, headers={**named, **header})


class Issuer:
    """Serves ``keys`` on a port of this machine and counts how often it is asked."""

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.asked = 0
        self.status = 200
        self.body: bytes | None = None  #: instead of the key set
        self.gate = asyncio.Event()  #: answers wait for it
        self.gate.set()
        self.address = ""

    @property
    def url(self) -> str:
        return f"{self.address}/auth/v1/.well-known/jwks.json"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/auth/v1/.well-known/jwks.json", self._serve)
        app.router.add_get("/elsewhere", self._elsewhere)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.gate.set()
        await self._runner.cleanup()

    async def _serve(self, _request: web.Request) -> web.Response:
        self.asked += 1
        await self.gate.wait()
        if self.status in (301, 302, 307, 308):
            return web.Response(status=self.status, headers={"Location": f"{self.address}/elsewhere"})
        return web.Response(status=self.status, body=self.body or self._set())

    async def _elsewhere(self, _request: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(body=self._set())

    def _set(self) -> bytes:
        return json.dumps({"keys": self.keys}).encode()
