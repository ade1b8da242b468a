"""Cloudinary as a mirror: its upload API, signed by ourselves.

An upload may be repeated, because the public id is a name that we choose. Whatever breaks on the
way is tried again from the start of the file: what becomes of a piece that arrives twice is not
documented.
(https://cloudinary.com/documentation/image_upload_api_reference,
https://cloudinary.com/documentation/authentication_signatures)
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import structlog
from aiohttp import hdrs

from service.sections import CloudinarySettings
from service.storage.file_part import FilePart
from service.storage.mirror import MirrorFailed
from sessions.clock import Clock

_log = structlog.get_logger(__name__)

#: ours, the last part of the public id
_NAME = re.compile(r"[A-Za-z0-9_-]{1,200}")

#: an answer has a kilobyte or two; much more is none
_ANSWER_LIMIT = 256 << 10

#: longest pause between two tries, in seconds
_LONGEST_PAUSE = 30.0

#: how long a connection may take to come about, in seconds
_CONNECT = 15.0

#: refusals that pass, as 5xx do; 420 is Cloudinary's own "too many"
_PASSING = frozenset({408, 420, 425, 429})

_REFUSED_CREDENTIALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class _Trouble(Exception):
    """One try has failed; the next one may not."""


class Cloudinary:
    """A ``Mirror`` at Cloudinary."""

    def __init__(self, settings: CloudinarySettings, now: Clock) -> None:
        assert settings.api_secret is not None, "enabled settings have a secret"
        self._settings = settings
        self._secret = settings.api_secret.get_secret_value()
        self._now = now
        self._turns = asyncio.Semaphore(settings.parallel)
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        # No limit but ``parallel``: waiting for a connection would use up a request's time.
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._settings.request_seconds, sock_connect=_CONNECT),
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    async def upload(self, file: Path, name: str) -> str:
        """See ``Mirror.upload``; the answer is Cloudinary's ``secure_url``."""
        public_id = self._public_id(name)
        return await self._persistently(name, lambda: self._send(file, public_id))

    async def remove(self, name: str) -> None:
        """See ``Mirror.remove``."""
        public_id = self._public_id(name)
        await self._persistently(name, lambda: self._destroy(public_id))

    def _public_id(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a mirrored file")
        return f"{self._settings.folder}/{name}"

    async def _persistently(self, name: str, once: Callable[[], Awaitable[str]]) -> str:
        """``once``, until it works or ``attempts`` are used up."""
        pause = self._settings.pause_seconds
        for attempt in range(1, self._settings.attempts + 1):
            try:
                async with self._turns:
                    return await once()
            except _Trouble as trouble:
                reason = str(trouble)
                _log.warning("cloudinary.trouble", name=name, attempt=attempt, reason=reason)
            if attempt < self._settings.attempts:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        raise MirrorFailed(f"Cloudinary cannot be used at the moment: {reason}", retryable=True)

    async def _send(self, file: Path, public_id: str) -> str:
        """One try to bring the whole file there; answers its address."""
        size = await asyncio.to_thread(_size, file)
        step = self._settings.chunk_mib << 20
        upload_id, answer = secrets.token_hex(16), dict[str, Any]()
        for start in range(0, max(size, 1), step):
            part = FilePart(file, start, min(step, size - start), content_type="video/mp4")
            headers = {}
            if size > step:
                headers = {
                    "X-Unique-Upload-Id": upload_id,
                    str(hdrs.CONTENT_RANGE): f"bytes {start}-{start + part.size - 1}/{size}",
                }
            params = {"public_id": public_id, "overwrite": "true"}
            answer = await self._ask("upload", params, part, headers)
        return self._address(answer.get("secure_url"), public_id)

    async def _destroy(self, public_id: str) -> str:
        answer = await self._ask("destroy", {"public_id": public_id, "invalidate": "true"})
        result = answer.get("result")
        if result not in ("ok", "not found"):
            raise _Trouble("the answer does not say that the video is gone")
        return str(result)

    async def _ask(
        self,
        action: str,
        params: Mapping[str, str],
        part: FilePart | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """One signed request. Raises ``_Trouble`` or ``MirrorFailed``."""
        assert self._session is not None, "open() comes first"
        settings = self._settings
        url = f"{settings.api_url.rstrip('/')}/v1_1/{settings.cloud_name}/video/{action}"
        form = self._form(params, part)
        try:
            async with self._session.post(url, data=form, headers=headers, allow_redirects=False) as answer:
                return self._judged(answer.status, await _body(answer))
        except TimeoutError:
            raise _Trouble(f"no answer within {settings.request_seconds:g} seconds") from None
        except aiohttp.ClientError as error:
            raise _Trouble(f"the connection broke off ({type(error).__name__})") from error

    def _form(self, params: Mapping[str, str], part: FilePart | None) -> aiohttp.MultipartWriter:
        signed = {**params, "timestamp": str(int(self._now().timestamp()))}
        fields = {**signed, "api_key": self._settings.api_key, "signature": self._signature(signed)}
        form = aiohttp.MultipartWriter("form-data")
        for name, value in fields.items():
            form.append(value).set_content_disposition("form-data", name=name)
        if part is not None:
            form.append_payload(part).set_content_disposition("form-data", name="file", filename="video.mp4")
        return form

    def _signature(self, params: Mapping[str, str]) -> str:
        """Over all parameters but ``file``, ``api_key`` and what stands in the path (version 2)."""
        pairs = (f"{name}={value}".replace("&", "%26") for name, value in sorted(params.items()))
        text = "&".join(pairs) + self._secret
        return hashlib.new(self._settings.signature, text.encode()).hexdigest()

    def _judged(self, status: int, body: bytes) -> dict[str, Any]:
        """What a good answer says. Raises ``_Trouble`` or ``MirrorFailed`` for any other."""
        answer = _object(body)
        if status == HTTPStatus.OK and answer is not None and "error" not in answer:
            return answer
        if status == HTTPStatus.OK:
            raise _Trouble("the answer cannot be understood")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _PASSING:
            raise _Trouble(f"it answers {status}")
        advice = ""
        if status in _REFUSED_CREDENTIALS:
            advice = "; check CLOUDINARY_CLOUD_NAME, CLOUDINARY_API_KEY and CLOUDINARY_API_SECRET"
        reason = self._without_secrets(_reason(answer or {}))
        raise MirrorFailed(f"Cloudinary refuses the request ({status}{reason}){advice}", retryable=False)

    def _without_secrets(self, text: str) -> str:
        return text.replace(self._secret, "***").replace(self._settings.api_key, "***")[:300]

    def _address(self, given: Any, public_id: str) -> str:
        """The address, if it can be what we asked for: browsers are sent there."""
        if not isinstance(given, str):
            raise _Trouble("the answer lacks the address of the video")
        base = re.escape(self._settings.delivery_url)
        if not re.fullmatch(rf"{base}/[A-Za-z0-9_./-]*/{re.escape(public_id)}\.mp4", given):
            raise MirrorFailed(
                "Cloudinary gives an address that is not expected; check cloudinary.delivery_url",
                retryable=False,
            )
        return given


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        raise MirrorFailed(f"The video cannot be read: {error.strerror}", retryable=False) from error


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > _ANSWER_LIMIT:
            raise _Trouble("the answer does not end")
    return bytes(body)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _reason(answer: Mapping[str, Any]) -> str:
    """What Cloudinary says about it, on one line."""
    error = answer.get("error")
    message = error.get("message") if isinstance(error, dict) else None
    return f": {' '.join(message.split())}" if isinstance(message, str) else ""
