"""Cloudinary's upload API on a port of this machine.

Checks every signature from the parameters that arrived, puts chunks together, keeps what it is
given, delivers it, and misbehaves on request.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import BodyPartReader, web

from tests.wire.files import abort

CLOUD, KEY, SECRET = "test-cloud", "482913", "sEcReT&of=cloudinary"

#: every part of an upload but the last has so many bytes at least
SMALLEST_CHUNK = 5_000_000

#: how old a signature may be, in seconds
_SIGNATURE_LIFE = 3600

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """How one request goes wrong."""

    status: int = 200
    body: bytes | None = None  #: the answer, instead of the true one
    changes: dict[str, Any] = field(default_factory=dict)  #: to the true answer
    stored: bool = False  #: whether the server does its work nevertheless
    reset: bool = False  #: the connection breaks off instead of an answer
    silent: bool = False  #: no answer, until ``over``
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file that has arrived, or a part of one."""

    size: int
    sha256: str
    body: bytes  #: empty where the server keeps none


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A video of the cloud."""

    public_id: str
    version: int
    upload: Upload


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a client asked."""

    action: str
    params: dict[str, str]  #: without the file
    headers: dict[str, str]
    upload: Upload | None


class Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class CloudinaryServer:
    """One cloud. ``faults`` are used up in order, one by each request; None is no fault."""

    def __init__(self) -> None:
        self.address = ""
        self.delivery = "https://res.cloudinary.com"  #: addresses of videos begin with it
        self.keeps_bytes = True
        self.now: Callable[[], float] = time.time
        self.faults: list[Fault | None] = []
        self.requests: list[Request] = []
        self.assets: dict[str, Asset] = {}
        self.at_work = self.most_at_work = 0
        self.over = asyncio.Event()  #: lets silent requests go
        self.arrived = asyncio.Event()  #: a request has been read
        self._parts: dict[str, list[Upload]] = {}
        self._versions = 1_700_000_000

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1_1/{cloud}/video/{action}", self._answer)
        app.router.add_get(f"/{CLOUD}/video/upload/v{{version}}/{{public_id:.+}}.mp4", self._deliver)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
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
        self.over.set()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            asked = await self._read(request)
            self.requests.append(asked)
            self.arrived.set()
            fault = self.faults.pop(0) if self.faults else None
            works = fault is None or fault.stored or bool(fault.changes)
            answer = self._obey(request.match_info["cloud"], asked) if works else {}
            if fault is None or fault.changes:
                return web.json_response({**answer, **(fault.changes if fault else {})})
            if fault.silent:
                await self.over.wait()
            if fault.reset:
                abort(request)
            return web.Response(status=fault.status, body=fault.body, headers=fault.headers)
        except Refusal as refusal:
            message = str(refusal)
            return web.json_response(
                {"error": {"message": message}}, status=refusal.status, headers={"X-Cld-Error": message}
            )
        finally:
            self.at_work -= 1

    async def _read(self, request: web.Request) -> Request:
        params: dict[str, str] = {}
        upload = None
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            if part.name == "file":
                upload = await self._file(part)
            else:
                assert part.name is not None
                assert part.name not in params, "a parameter twice"
                params[part.name] = await part.text()
        action = request.match_info["action"]
        return Request(action=action, params=params, headers=dict(request.headers), upload=upload)

    async def _file(self, part: BodyPartReader) -> Upload:
        size, digest, body = 0, hashlib.sha256(), bytearray()
        while piece := await part.read_chunk(1 << 16):
            size += len(piece)
            digest.update(piece)
            if self.keeps_bytes:
                body += piece
        return Upload(size=size, sha256=digest.hexdigest(), body=bytes(body))

    def _obey(self, cloud: str, asked: Request) -> dict[str, Any]:
        self._check(cloud, asked.params)
        public_id = asked.params["public_id"]
        if asked.action == "destroy":
            return {"result": "ok" if self.assets.pop(public_id, None) else "not found"}
        if asked.action != "upload" or asked.upload is None:
            raise Refusal(400, "Missing required parameter - file")
        if not asked.upload.size:
            raise Refusal(400, "Empty file")
        whole = self._gathered(asked)
        if whole is None:
            return {"public_id": public_id, "done": False, "bytes": asked.upload.size}
        return self._stored(public_id, whole, overwrite=asked.params.get("overwrite") != "false")

    def _check(self, cloud: str, params: dict[str, str]) -> None:
        if cloud != CLOUD:
            raise Refusal(401, f"Invalid cloud_name {cloud}")
        if params.get("api_key") != KEY:
            raise Refusal(401, f"unknown api_key {params.get('api_key')}")
        given = params.get("signature", "")
        text = string_to_sign(params)
        algorithm = "sha256" if len(given) == 64 else "sha1"
        right = hashlib.new(algorithm, (text + SECRET).encode()).hexdigest()
        if not hmac.compare_digest(right, given):
            raise Refusal(401, f"Invalid Signature {given}. String to sign - '{text}'.")
        if abs(self.now() - int(params["timestamp"])) > _SIGNATURE_LIFE:
            raise Refusal(400, "Stale request - reported time is more than 1 hour ago")

    def _gathered(self, asked: Request) -> Upload | None:
        """The whole file, once its last part is there."""
        assert asked.upload is not None
        upload_id = asked.headers.get("X-Unique-Upload-Id")
        if upload_id is None:
            return asked.upload
        found = _RANGE.fullmatch(asked.headers.get("Content-Range", ""))
        if found is None:
            raise Refusal(400, "Invalid Content-Range")
        first, last, total = map(int, found.groups())
        parts = self._parts.setdefault(upload_id, [])
        is_last = last + 1 == total
        if first != sum(part.size for part in parts) or last - first + 1 != asked.upload.size:
            raise Refusal(400, "Parts do not follow each other")
        if not is_last and asked.upload.size < SMALLEST_CHUNK:
            raise Refusal(400, "All parts except the last must be larger than 5mb")
        parts.append(asked.upload)
        if not is_last:
            return None
        del self._parts[upload_id]
        body = b"".join(part.body for part in parts)
        return Upload(size=total, sha256=hashlib.sha256(body).hexdigest(), body=body)

    def _stored(self, public_id: str, upload: Upload, *, overwrite: bool) -> dict[str, Any]:
        known = self.assets.get(public_id)
        if known is None or overwrite:
            self._versions += 1
            self.assets[public_id] = Asset(public_id=public_id, version=self._versions, upload=upload)
        asset = self.assets[public_id]
        answer = {
            "public_id": public_id,
            "version": asset.version,
            "resource_type": "video",
            "type": "upload",
            "format": "mp4",
            "bytes": asset.upload.size,
            "secure_url": f"{self.delivery}/{CLOUD}/video/upload/v{asset.version}/{public_id}.mp4",
        }
        return answer if known is None or overwrite else {**answer, "existing": True}

    async def _deliver(self, request: web.Request) -> web.Response:
        asset = self.assets.get(request.match_info["public_id"])
        if asset is None:
            return web.Response(status=404)
        return web.Response(body=asset.upload.body, content_type="video/mp4")


def string_to_sign(params: dict[str, str]) -> str:
    """All parameters but those that the documentation leaves out, in order (signature version 2)."""
    left_out = {"file", "cloud_name", "resource_type", "api_key", "signature"}
    kept = sorted(name for name in params if name not in left_out)
    return "&".join(name.replace("&", "%26") + "=" + params[name].replace("&", "%26") for name in kept)
