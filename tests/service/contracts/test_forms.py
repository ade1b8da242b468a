"""One reader for three kinds of forms; whatever else is sent is refused in words, and never breaks."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import random
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

import aiohttp
import httpx
import pytest
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, field_validator
from structlog.testing import capture_logs

from service.contracts.access import Access, Doorkeeper
from service.contracts.base import Contract, Guard, Route, add_routes
from service.contracts.cross_origin import CrossOrigin
from service.contracts.forms import FILE_LIMIT, form_limit, read_form
from service.contracts.headers import AnswerHeaders
from service.contracts.idempotency import Idempotency
from service.contracts.problems import Problem
from service.contracts.rates import Turnstile
from service.contracts.reading import BODY_SECONDS, read_json
from service.rates import Rates
from service.settings import load_settings
from sessions.clock import utc_now
from sessions.database import Database
from tests.house import Answer

FORM = "/form"
FILES = {"initialImage": 1, "endFrame": 1, "referenceImages": 3}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
B = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
MULTIPART = f"multipart/form-data; boundary={B}"
URLENCODED = "application/x-www-form-urlencoded"
JSON = "application/json"


class Wish(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str
    prompt: str | None = None
    resolution: Literal["720p", "1080p"] = "720p"
    seconds: int | None = Field(default=None, validation_alias="durationSeconds")
    audio: bool = Field(default=False, validation_alias="generateAudio")

    @field_validator("prompt")
    @classmethod
    def _says_something(cls, prompt: str | None) -> str | None:
        if prompt is not None and not prompt.strip():
            raise ValueError("say what is to be seen")
        return prompt


def _render(problem: Problem) -> web.Response:
    return web.json_response({"error": problem.message, "detail": problem.detail}, status=problem.status)


CONTRACT = Contract(name="desk", prefixes=("/",), render_problem=_render)


async def _form(request: web.Request) -> web.Response:
    wish, uploads = await read_form(request, Wish, files=FILES)
    files = [{"field": upload.field, "data": upload.data.hex()} for upload in uploads]
    return web.json_response({"wish": wish.model_dump(), "files": files})


async def _form_400(request: web.Request) -> web.Response:
    wish, _ = await read_form(request, Wish, files=FILES, invalid_status=HTTPStatus.BAD_REQUEST)
    return web.json_response({"wish": wish.model_dump()})


async def _any_json(request: web.Request) -> web.Response:
    wish = await read_json(request, Wish, any_type=True, invalid_status=HTTPStatus.BAD_REQUEST)
    return web.json_response({"wish": wish.model_dump()})


async def _json(request: web.Request) -> web.Response:
    return web.json_response({"wish": (await read_json(request, Wish)).model_dump()})


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A server with routes that read forms, behind the guard."""

    address: str
    client: aiohttp.ClientSession

    async def send(
        self, body: bytes | None, content_type: str | None = MULTIPART, path: str = FORM, **headers: str
    ) -> Answer:
        """A body exactly as it is, on a connection of its own."""
        parts = urlsplit(self.address)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Connection: close"]
        if content_type is not None:
            lines.append(f"Content-Type: {content_type}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body is not None and not {"Content_Length", "Transfer_Encoding"} & set(headers):
            lines.append(f"Content-Length: {len(body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode() + (body or b""))
        try:
            async with asyncio.timeout(15):
                whole = await reader.read()
        finally:
            writer.close()
        return _answer(whole)


def _answer(whole: bytes) -> Answer:
    head, _, body = whole.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Answer(status=int(first.split()[1]), headers=headers, body=body, json=json.loads(body))


@asynccontextmanager
async def _open_desk(folder: Path, *, seconds: float = 10) -> AsyncIterator[Desk]:
    routes = [
        Route(
            method="POST",
            path=path,
            handler=handler,
            contract=CONTRACT,
            access=Access.OPEN,
            form_limit=form_limit(FILES),
            creates=True,
        )
        for path, handler in ((FORM, _form), ("/form-400", _form_400))
    ] + [
        Route(method="POST", path=path, handler=handler, contract=CONTRACT, access=Access.OPEN)
        for path, handler in (("/any-json", _any_json), ("/json", _json))
    ]
    database = Database(f"sqlite:///{folder / 'desk.db'}")
    await database.open()
    rates, cross_origin = load_settings(environ={}).rates, CrossOrigin(())
    off = rates.model_copy(update={"reads": 0, "reads_per_path": 0, "creates": 0})
    guard = Guard(
        routes,
        fallback=CONTRACT,
        names=(),
        idempotency=Idempotency(database, utc_now),
        doorkeeper=Doorkeeper(None),
        turnstile=Turnstile(Rates(off), proxies=0),
        cross_origin=cross_origin,
    )
    app = web.Application(middlewares=[guard.middleware], client_max_size=256 << 10)
    app[BODY_SECONDS] = seconds
    app.on_response_prepare.append(AnswerHeaders(cross_origin, https=False).complete)
    add_routes(app, routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with aiohttp.ClientSession(base_url=address) as client:
            yield Desk(address=address, client=client)
    finally:
        await runner.cleanup()
        await database.close()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with _open_desk(tmp_path) as opened:
        yield opened


def part(name: str, data: bytes | str, *, file: str | None = None, **headers: str) -> bytes:
    """One part as browsers write it."""
    disposition = f'form-data; name="{name}"' + ("" if file is None else f'; filename="{file}"')
    lines = [f"Content-Disposition: {disposition}"]
    if file is not None:
        lines.append("Content-Type: application/octet-stream")
    lines += [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (data.encode() if isinstance(data, str) else data)


def multipart(*parts: bytes) -> bytes:
    delimiter = f"--{B}\r\n".encode()
    return b"".join(delimiter + each + b"\r\n" for each in parts) + f"--{B}--\r\n".encode()


MODEL = part("model", "veo")


def refusal(answer: Answer, *statuses: int) -> str:
    """The sentence of an error that has the contract's shape and tells nothing of the inside."""
    assert answer.status in statuses, (answer.status, answer.json)
    sentence: str = answer.json["error"]
    assert len(sentence.split()) >= 3
    inside = ("Traceback", "pydantic", "aiohttp", "Wish", "Error", "Exception", "assert", "object at")
    assert not [word for word in inside if word in sentence], sentence
    return sentence


# ---------------------------------------------------------------------- what clients send


async def test_the_same_form_in_three_ways(desk: Desk, subtests: pytest.Subtests) -> None:
    fields = {
        "model": "veo",
        "prompt": "Ein Schiff & 100 % mehr\nMeer — 海",
        "resolution": "1080p",
        "durationSeconds": "8",
        "generateAudio": "true",
    }
    bodies = {
        MULTIPART: multipart(*(part(name, text) for name, text in fields.items())),
        URLENCODED: urlencode(fields).encode(),
        JSON: json.dumps({**fields, "durationSeconds": 8, "generateAudio": True}).encode(),
    }
    for content_type, body in bodies.items():
        with subtests.test(content_type):
            answer = await desk.send(body, content_type)
            assert (answer.status, answer.json["files"]) == (200, [])
            assert answer.json["wish"] == {
                "model": "veo",
                "prompt": fields["prompt"],
                "resolution": "1080p",
                "seconds": 8,
                "audio": True,
            }


async def test_files(desk: Desk) -> None:
    """Names and types are the client's; the data is not touched, whatever it looks like."""
    strange = b"\r\n--" + B.encode()[:-1] + b"\r\n\r\n--\r\n\x00\xff"
    answer = await desk.send(
        multipart(
            MODEL,
            part("initialImage", PNG, file="../../etc/passwd"),
            part("referenceImages", strange, file='a \\"quoted\\"; name=x.png'),
            part("referenceImages", b"\r\n", file="b%22.png"),
            part("referenceImages", b"x", file=""),
        )
    )
    assert answer.status == 200, answer.json
    assert answer.json["files"] == [
        {"field": "initialImage", "data": PNG.hex()},
        {"field": "referenceImages", "data": strange.hex()},
        {"field": "referenceImages", "data": b"\r\n".hex()},
        {"field": "referenceImages", "data": b"x".hex()},
    ]


async def test_libraries(desk: Desk, subtests: pytest.Subtests) -> None:
    with subtests.test("aiohttp"):
        form = aiohttp.FormData({"model": "veo", "prompt": "Ein Schöner Tag"})
        form.add_field("initialImage", PNG, filename="ü.png", content_type="image/png")
        async with desk.client.post(FORM, data=form) as response:
            assert (await response.json())["files"] == [{"field": "initialImage", "data": PNG.hex()}]
    with subtests.test("aiohttp, in pieces"):
        with aiohttp.MultipartWriter("form-data") as writer:
            for name, data in (("model", "veo"), ("prompt", "A lamp")):
                writer.append(data).set_content_disposition("form-data", name=name)
        async with desk.client.post(FORM, data=writer) as response:
            assert (await response.json())["wish"]["prompt"] == "A lamp"
    with subtests.test("httpx"):
        async with httpx.AsyncClient(base_url=desk.address) as client:
            files = [
                ("referenceImages", (name, data, "image/png")) for name, data in (("a", PNG), ("b", b"2"))
            ]
            answer = await client.post(FORM, data={"model": "veo"}, files=files)
            assert [it["data"] for it in answer.json()["files"]] == [PNG.hex(), b"2".hex()]
            assert (await client.post(FORM, data={"model": "veo"})).json()["wish"]["model"] == "veo"


async def test_files_that_were_not_chosen(desk: Desk) -> None:
    """Browsers send an empty file without a name, Swagger UI an empty text."""
    answer = await desk.send(
        multipart(
            MODEL,
            part("initialImage", b"", file=""),
            part("endFrame", b""),
            *[part("referenceImages", b"", file="")] * 5,
        )
    )
    assert (answer.status, answer.json["files"]) == (200, [])
    answer = await desk.send(b"model=veo&initialImage=&endFrame", URLENCODED)
    assert (answer.status, answer.json["files"]) == (200, [])
    answer = await desk.send(b'{"model": "veo", "initialImage": null}', JSON)
    assert (answer.status, answer.json["files"]) == (200, [])


async def test_how_a_form_says_it_is_encoded_means_nothing(desk: Desk) -> None:
    twice = [part("_charset_", "utf-8")] * 2
    assert (await desk.send(multipart(MODEL, *twice))).status == 200
    assert (await desk.send(b"_charset_=iso-8859-1&model=veo&_charset_=x", URLENCODED)).status == 200


async def test_spellings_of_multipart(desk: Desk, subtests: pytest.Subtests) -> None:
    body = multipart(MODEL)
    bodies: dict[str, tuple[bytes, str]] = {
        "quoted boundary": (body, f'multipart/form-data; boundary="{B}"'),
        "charset": (body, f"multipart/form-data; charset=utf-8; boundary={B}"),
        "capitals": (body, f"Multipart/Form-Data; Boundary={B}"),
        "something before": (b"hello\r\n" + body, MULTIPART),
        "an empty line before": (b"\r\n" + body, MULTIPART),
        "something after": (body + b"goodbye\r\n--" + B.encode(), MULTIPART),
        "no last line end": (body.removesuffix(b"\r\n"), MULTIPART),
        "capital headers": (body.replace(b"Content-Disposition", b"CONTENT-DISPOSITION"), MULTIPART),
        "no blanks": (body.replace(b"; name", b";name").replace(b"position: ", b"position:"), MULTIPART),
        "no quotes": (body.replace(b'"model"', b"model"), MULTIPART),
        "a type": (multipart(part("model", "veo", Content_Type="text/plain; charset=UTF-8")), MULTIPART),
        "8bit": (multipart(part("model", "veo", Content_Transfer_Encoding="8bit")), MULTIPART),
        "a length": (multipart(part("model", "veo", Content_Length="99999")), MULTIPART),
        "another boundary": (
            body.replace(B.encode(), b"'()+_,-./:=? x"),
            'multipart/form-data; boundary="\'()+_,-./:=? x"',
        ),
    }
    for name, (sent, content_type) in bodies.items():
        with subtests.test(name):
            answer = await desk.send(sent, content_type)
            assert (answer.status, answer.json.get("wish", {}).get("model")) == (200, "veo"), answer.json


@pytest.mark.parametrize("step", [1, 2, 7, 64])
async def test_a_form_that_arrives_bit_by_bit(desk: Desk, step: int) -> None:
    body = multipart(MODEL, part("initialImage", b"\r\n--" + B.encode()[:9] + b"\r", file="x"))
    chunks = [body[at : at + step] for at in range(0, len(body), step)]
    coded = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    answer = await desk.send(coded, Transfer_Encoding="chunked")
    assert answer.status == 200, answer.json
    assert bytes.fromhex(answer.json["files"][0]["data"]) == b"\r\n--" + B.encode()[:9] + b"\r"


async def test_no_body_is_an_empty_form(desk: Desk) -> None:
    assert refusal(await desk.send(None, None), 422) == "The request is not valid: model: Field required"
    refusal(await desk.send(b"", URLENCODED), 422)


# ---------------------------------------------------------------------- fields


async def test_fields_that_are_not_right(desk: Desk, subtests: pytest.Subtests) -> None:
    cases: Mapping[str, tuple[list[bytes], str]] = {
        "unknown text": ([part("quality", "high")], "quality is not a field of this form"),
        "unknown file": ([part("video", PNG, file="x")], "video is not a field of this form"),
        "the inside name": ([part("seconds", "8")], "seconds is not a field of this form"),
        "a text as file": ([part("prompt", "A lamp", file="p.txt")], "prompt is a text and no file"),
        "a file as text": ([part("initialImage", "hello")], "initialImage is a file and no text"),
        "two first frames": ([part("initialImage", PNG, file="x")] * 2, "initialImage has more than 1"),
        "four references": ([part("referenceImages", PNG, file="x")] * 4, "referenceImages has more than 3"),
        "a long text": ([part("prompt", "x" * 16_385)], "prompt is longer than 16 KiB"),
        "another value": ([part("resolution", "4k")], "resolution: Input should be '720p' or '1080p'"),
        "no number": ([part("durationSeconds", "long")], "durationSeconds: Input should be a valid integer"),
        "our own rule": ([part("prompt", "  ")], "prompt: say what is to be seen"),
    }
    for name, (parts, said) in cases.items():
        with subtests.test(name):
            assert said in refusal(await desk.send(multipart(MODEL, *parts)), 422)
            assert said in refusal(await desk.send(multipart(MODEL, *parts), path="/form-400"), 400)


async def test_fields_that_are_not_right_in_other_forms(desk: Desk, subtests: pytest.Subtests) -> None:
    cases: Mapping[str, tuple[bytes, str, str]] = {
        "unknown": (b"model=veo&quality=high", URLENCODED, "quality is not a field"),
        "no name": (b"model=veo&=high", URLENCODED, "is not a field"),
        "file": (b"model=veo&initialImage=x", URLENCODED, "initialImage is a file"),
        "long": (b"model=veo&prompt=" + b"x" * 16_385, URLENCODED, "prompt is longer"),
        "unknown in JSON": (b'{"model": "veo", "quality": 1}', JSON, "quality is not a field"),
        "file in JSON": (b'{"model": "veo", "initialImage": "x"}', JSON, "initialImage is a file"),
        "type in JSON": (b'{"model": 5}', JSON, "model: Input should be a valid string"),
    }
    for name, (body, content_type, said) in cases.items():
        with subtests.test(name):
            assert said in refusal(await desk.send(body, content_type), 422)


async def test_ambiguous_forms(desk: Desk, subtests: pytest.Subtests) -> None:
    bodies = {
        MULTIPART: multipart(MODEL, part("model", "sora")),
        URLENCODED: b"model=veo&model=veo",
        JSON: b'{"model": "veo", "model": "sora"}',
    }
    for content_type, body in bodies.items():
        with subtests.test(content_type):
            assert "ambiguous" in refusal(await desk.send(body, content_type), 400)


async def test_a_text_up_to_the_limit(desk: Desk) -> None:
    text = "ö" * 8192
    for body, content_type in (
        (multipart(MODEL, part("prompt", text)), MULTIPART),
        (urlencode({"model": "veo", "prompt": text}).encode(), URLENCODED),
    ):
        answer = await desk.send(body, content_type)
        assert (answer.status, answer.json["wish"]["prompt"]) == (200, text)


# ---------------------------------------------------------------------- what is none


def _malformed() -> dict[str, tuple[bytes, str]]:
    whole = multipart(MODEL, part("initialImage", PNG, file="x.png"))
    line = f"--{B}\r\n".encode()
    return {
        "no boundary": (whole, "multipart/form-data"),
        "an empty boundary": (whole, "multipart/form-data; boundary="),
        "an empty quoted boundary": (whole, 'multipart/form-data; boundary=""'),
        "two boundaries": (whole, f"multipart/form-data; boundary={B}; boundary=x"),
        "a long boundary": (whole, f"multipart/form-data; boundary={'x' * 71}"),
        "a boundary of other characters": (whole, 'multipart/form-data; boundary="a{b}"'),
        "a boundary that ends in a blank": (whole, 'multipart/form-data; boundary="a "'),
        "an open quote": (whole, f'multipart/form-data; boundary="{B}'),
        "another boundary": (whole, "multipart/form-data; boundary=other"),
        "nothing": (b"", MULTIPART),
        "text": (b"hello", MULTIPART),
        "JSON": (b'{"model": "veo"}', MULTIPART),
        "pairs": (b"model=veo", MULTIPART),
        "binary": (bytes(range(256)) * 50, MULTIPART),
        "only the first line": (line, MULTIPART),
        "no headers": (line + b"\r\nveo\r\n" + multipart(), MULTIPART),
        "no headers, and what looks like some": (line + b"\r\n" + MODEL + b"\r\n" + multipart(), MULTIPART),
        "no end of headers": (line + b"Content-Disposition: form-data", MULTIPART),
        "more behind the boundary": (whole.replace(B.encode() + b"\r\n", B.encode() + b"x\r\n"), MULTIPART),
        "line feeds alone": (whole.replace(b"\r\n", b"\n"), MULTIPART),
        "no disposition": (multipart(b"Content-Type: text/plain\r\n\r\nveo"), MULTIPART),
        "another disposition": (multipart(MODEL.replace(b"form-data", b"attachment")), MULTIPART),
        "no name": (multipart(MODEL.replace(b'; name="model"', b"")), MULTIPART),
        "two names": (multipart(MODEL.replace(b"; name", b'; name="x"; name')), MULTIPART),
        "an open quoted name": (multipart(MODEL.replace(b'"model"', b'"model')), MULTIPART),
        "an encoded name": (multipart(MODEL.replace(b'name="model"', b"name*=utf-8''model")), MULTIPART),
        "two dispositions": (
            multipart(b'Content-Disposition: form-data; name="prompt"\r\n' + MODEL),
            MULTIPART,
        ),
        "a folded header": (multipart(MODEL.replace(b"; name", b";\r\n name")), MULTIPART),
        "a header without a colon": (multipart(b"Hello\r\n" + MODEL), MULTIPART),
        "a NUL in a header": (multipart(b"X: \x00\r\n" + MODEL), MULTIPART),
        "a header that is no UTF-8": (multipart(b"X: \xff\r\n" + MODEL), MULTIPART),
        "long headers": (multipart(b"X: " + b"x" * 5000 + b"\r\n" + MODEL), MULTIPART),
        "a long story before": (b"x" * 5000 + b"\r\n" + whole, MULTIPART),
        "base64": (multipart(part("model", "dmVv", Content_Transfer_Encoding="base64")), MULTIPART),
        "quoted-printable": (
            multipart(part("model", "veo", Content_Transfer_Encoding="quoted-printable")),
            MULTIPART,
        ),
        "a form inside": (
            multipart(part("referenceImages", b"x", Content_Type="multipart/mixed; boundary=y")),
            MULTIPART,
        ),
        "text that is no UTF-8": (multipart(part("model", b"v\xe9o")), MULTIPART),
        "101 fields": (multipart(*[part("initialImage", b"", file="")] * 101), MULTIPART),
        "pairs that are no UTF-8": (b"model=v\xe9o", URLENCODED),
        "pairs that are no UTF-8, coded": (b"model=v%E9o", URLENCODED),
        "101 pairs": (b"&".join([b"initialImage="] * 101), URLENCODED),
        "half of some JSON": (b'{"model": ', JSON),
        "no object": (b'["veo"]', JSON),
        "no number": (b'{"model": NaN}', JSON),
        "10,000 objects": (b'{"model":' * 10_000 + b"1" + b"}" * 10_000, JSON),
        "half a character": (b'{"model": "\\ud800"}', JSON),
    }


async def test_what_is_no_form(desk: Desk, subtests: pytest.Subtests) -> None:
    for name, (body, content_type) in _malformed().items():
        with subtests.test(name):
            refusal(await desk.send(body, content_type), 400)


async def test_a_form_cut_short_anywhere(desk: Desk) -> None:
    whole = multipart(MODEL, part("prompt", "A lamp"), part("initialImage", b"\x00" * 50, file="x"))
    for length in range(0, len(whole) - len("--\r\n"), 3):
        refusal(await desk.send(whole[:length]), 400)


@pytest.mark.parametrize("seed", range(8))
async def test_forms_that_were_damaged_on_their_way(desk: Desk, seed: int) -> None:
    """Whatever comes of it, it is an answer, and none of the server's errors."""
    chance = random.Random(seed)
    whole = multipart(MODEL, part("prompt", "A lamp"), part("initialImage", PNG[:200], file="x.png"))
    for _ in range(60):
        body = bytearray(whole)
        for _ in range(chance.choice([1, 1, 2, 10])):
            at, kind = chance.randrange(len(body)), chance.randrange(4)
            if kind == 0:
                body[at] = chance.randrange(256)
            elif kind == 1:
                del body[at : at + chance.randrange(1, 40)]
            elif kind == 2:
                body[at:at] = body[chance.randrange(len(body)) :][: chance.randrange(1, 60)]
            else:
                body[at:at] = chance.choice([b"\r\n", b"--", b"\r\n\r\n", b"\x00", b'"', B.encode()])
        answer = await desk.send(bytes(body))
        assert answer.status in (200, 400, 422), (answer.json, bytes(body))


async def test_other_types(desk: Desk, subtests: pytest.Subtests) -> None:
    types = (
        None,
        "",
        "text/plain",
        "multipart/mixed; boundary=x",
        "application/xml",
        "multipart",
        "form-data",
    )
    for content_type in types:
        with subtests.test(str(content_type)):
            refusal(await desk.send(b"model=veo", content_type), 415)


# ---------------------------------------------------------------------- how much, how long


async def test_the_largest_file(desk: Desk) -> None:
    body = multipart(MODEL, part("initialImage", b"x" * FILE_LIMIT, file="x"))
    answer = await desk.send(body)
    assert answer.status == 200
    assert len(answer.json["files"][0]["data"]) == 2 * FILE_LIMIT
    body = multipart(MODEL, part("initialImage", b"x" * (FILE_LIMIT + 1), file="x"))
    async with desk.client.post(FORM, data=io.BytesIO(body), headers={"Content-Type": MULTIPART}) as response:
        assert response.status == 413
        assert "initialImage is larger than 10 MiB" in (await response.json())["error"]


async def test_a_promised_form_over_the_limit_is_not_waited_for(desk: Desk) -> None:
    reader, writer = await _begun(desk, Content_Length=str(form_limit(FILES) + 1))
    async with asyncio.timeout(5):
        assert b" 413 " in await reader.readline()
    writer.close()


@pytest.mark.parametrize("content_type", [URLENCODED, JSON])
async def test_other_forms_over_the_limit(desk: Desk, content_type: str) -> None:
    """Chunked, so that nobody has said how long it is; read no further than it may be long."""
    reader, writer = await _begun(desk, content_type, Transfer_Encoding="chunked")
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    answered = asyncio.ensure_future(reader.readline())
    sent = 0
    while not answered.done():
        writer.write(chunk)
        sent += 65536
        await asyncio.wait({asyncio.ensure_future(writer.drain()), answered}, return_when="FIRST_COMPLETED")
        assert sent < 20 << 20, "the server reads on and on"
    assert b" 413 " in answered.result()
    writer.transport.abort()


async def test_a_bomb_is_not_unpacked(desk: Desk, subtests: pytest.Subtests) -> None:
    """Small on its way, a quarter of a gigabyte in memory."""
    zeros = b"\x00" * (1 << 20)
    packers = {"gzip": zlib.compressobj(9, wbits=31), "deflate": zlib.compressobj(9)}
    for coding, packer in packers.items():
        head = f"--{B}\r\n".encode() + part("initialImage", b"", file="x")
        packed = packer.compress(head) + b"".join(packer.compress(zeros) for _ in range(256))
        packed += packer.flush()
        assert len(packed) < 1 << 20
        for path, content_type in ((FORM, MULTIPART), (FORM, JSON), ("/json", JSON), (FORM, URLENCODED)):
            with subtests.test(f"{coding} {path} {content_type[:20]}"):
                async with desk.client.post(
                    path, data=packed, headers={"Content-Type": content_type, "Content-Encoding": coding}
                ) as response:
                    assert response.status == 413


async def test_a_packed_form_is_read(desk: Desk) -> None:
    packed = gzip.compress(multipart(MODEL))
    assert (await desk.send(packed, Content_Encoding="gzip")).status == 200
    refusal(await desk.send(b"not packed at all", Content_Encoding="gzip"), 400)


async def _begun(
    desk: Desk, content_type: str = MULTIPART, path: str = FORM, **headers: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request whose body is still to come."""
    parts = urlsplit(desk.address)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {content_type}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    return reader, writer


@pytest.mark.parametrize(
    ("path", "content_type"), [(FORM, MULTIPART), (FORM, URLENCODED), (FORM, JSON), ("/json", JSON)]
)
async def test_a_body_that_does_not_come(tmp_path: Path, path: str, content_type: str) -> None:
    async with _open_desk(tmp_path, seconds=0.2) as desk:
        reader, writer = await _begun(desk, content_type, path, Content_Length="1000")
        writer.write(b"--")
        async with asyncio.timeout(5):
            assert b" 408 " in await reader.readline()
        writer.transport.abort()


async def test_a_body_that_drips(tmp_path: Path) -> None:
    """Each byte comes in time, and the whole never would."""
    async with _open_desk(tmp_path, seconds=0.3) as desk:
        reader, writer = await _begun(desk, Content_Length="100000")
        answered = asyncio.ensure_future(reader.readline())
        async with asyncio.timeout(5):
            while not answered.done():
                writer.write(b"x")
                await asyncio.wait({answered}, timeout=0.02)
        assert b" 408 " in answered.result()
        writer.transport.abort()


async def test_a_client_that_leaves(desk: Desk) -> None:
    """Its own decision, and no error of the server's."""
    with capture_logs() as lines:
        for path, content_type in ((FORM, MULTIPART), ("/json", JSON)):
            _, writer = await _begun(desk, content_type, path, Content_Length="1000")
            writer.write(b"--")
            await writer.drain()
            writer.transport.abort()
        async with asyncio.timeout(10):
            while len(lines) < 2:
                await asyncio.sleep(0)
    assert [(line["event"], line["status"]) for line in lines] == [("http", 400)] * 2


# ---------------------------------------------------------------------- JSON of any type


async def test_json_by_any_name(desk: Desk, subtests: pytest.Subtests) -> None:
    """A browser that is given a text as body calls it text/plain; curl calls it a form."""
    body = b'{"model": "veo", "prompt": "A lamp"}'
    for content_type in (None, "", "text/plain;charset=UTF-8", JSON, URLENCODED, "application/octet-stream"):
        with subtests.test(str(content_type)):
            answer = await desk.send(body, content_type, "/any-json")
            assert (answer.status, answer.json["wish"]["prompt"]) == (200, "A lamp")
            if content_type != JSON:
                refusal(await desk.send(body, content_type, "/json"), 415)
    refusal(await desk.send(b"hello", "text/plain", "/any-json"), 400)
    refusal(await desk.send(None, None, "/any-json"), 400)
    refusal(await desk.send(b"{}", "text/plain", "/any-json"), 400)
    refusal(await desk.send(b"{}", JSON, "/json"), 422)


async def test_what_a_page_elsewhere_can_send_unasked_is_refused(
    desk: Desk, subtests: pytest.Subtests
) -> None:
    """These need no preflight, and a browser sends its cookies along."""
    wish = b'{"model": "veo"}'
    for path, content_type, body in (
        ("/any-json", "text/plain;charset=UTF-8", wish),
        ("/any-json", URLENCODED, wish),
        (FORM, URLENCODED, b"model=veo"),
        (FORM, MULTIPART, multipart(MODEL)),
        ("/any-json", None, wish),
    ):
        for origin in ("https://evil.example.com", "null"):
            with subtests.test(f"{content_type} {origin}"):
                refusal(await desk.send(body, content_type, path, Origin=origin), 403)
        with subtests.test(f"{content_type} ours"):
            answer = await desk.send(body, content_type, path, Origin="http://localhost:5173")
            assert answer.status == 200


async def test_json_with_a_name_twice(desk: Desk, subtests: pytest.Subtests) -> None:
    for body in (
        b'{"model": "veo", "model": "sora"}',
        b'{"model": "veo", "model": "veo"}',
        b'{"model": "veo", "mode\\u006c": "sora"}',
    ):
        with subtests.test(body.decode()):
            said = refusal(await desk.send(body, JSON, "/json"), 400)
            assert said == "The body is ambiguous: 'model' is in one object twice"


# ---------------------------------------------------------------------- read before


async def test_a_form_with_an_idempotency_key(desk: Desk) -> None:
    """The body is read for its fingerprint first, and is as large as its route lets it be."""
    body = multipart(MODEL, part("initialImage", b"x" * 1_000_000, file="x"))
    for _ in range(2):
        answer = await desk.send(body, Idempotency_Key="key-1")
        assert answer.status == 200, answer.json
        assert len(answer.json["files"][0]["data"]) == 2_000_000
    assert answer.headers["Idempotency-Replayed"] == "true"
    refusal(await desk.send(multipart(MODEL), Idempotency_Key="key-1"), 422)


def test_the_limit_of_a_form(subtests: pytest.Subtests) -> None:
    for files, count in (({}, 0), (FILES, 5)):
        with subtests.test(str(files)):
            given: Any = files
            assert form_limit(given) == count * FILE_LIMIT + (256 << 10)
