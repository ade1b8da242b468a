"""Forms, however a client sends them: multipart, URL-encoded or JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from aiohttp import hdrs, web
from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic_core import from_json

from service.contracts.multipart import Parts
from service.contracts.problems import BadRequest, Problem
from service.contracts.reading import (
    Arriving,
    Body,
    bad_body,
    check_names,
    read_body,
    validation_problem,
)

#: largest file, in bytes
FILE_LIMIT = 10 << 20

#: longest text of one field, in bytes
_TEXT_LIMIT = 16 << 10

#: all texts of a form and what stands between its parts, in bytes
_TEXTS_LIMIT = 256 << 10

_FIELDS_LIMIT = 100

#: some browsers say how the form is encoded; it is always UTF-8
_CHARSET = "_charset_"


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file of a form; what the client calls it is not known to anybody."""

    field: str
    data: bytes


def form_limit(files: Mapping[str, int]) -> int:
    """The largest body of a form with these files, in bytes: its route's ``form_limit``."""
    return sum(files.values()) * FILE_LIMIT + _TEXTS_LIMIT


async def read_form(
    request: web.Request,
    shape: type[Body],
    *,
    files: Mapping[str, int] | None = None,
    invalid_status: int = HTTPStatus.UNPROCESSABLE_ENTITY,
) -> tuple[Body, tuple[Upload, ...]]:
    """The texts of a form as ``shape``, and its files.

    ``files`` says which fields are files, and how many each may have. Each text field comes once. A
    file without content counts as absent: browsers and Swagger UI send such. Raises ``BadRequest``
    (400, 408, 413, 415, or ``invalid_status`` for fields that are not as ``shape`` and ``files``
    have them) or aiohttp's 413.
    """
    form = _Form(frozenset(_names(shape)), files or {}, invalid_status)
    match request.content_type:
        case "multipart/form-data":
            await form.read_parts(Parts(request.headers[hdrs.CONTENT_TYPE], Arriving(request)))
        case "application/x-www-form-urlencoded":
            form.read_pairs(await read_body(request))
        case "application/json":
            form.read_object(await read_body(request))
        case _ if request.body_exists:
            raise bad_body(
                "Send the fields as multipart/form-data, application/x-www-form-urlencoded or JSON",
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            )
    try:
        return shape.model_validate(form.values), tuple(form.uploads)
    except ValidationError as error:
        raise BadRequest(validation_problem(error, invalid_status)) from None


class _Form:
    """What has been read of a form."""

    def __init__(self, texts: frozenset[str], files: Mapping[str, int], invalid_status: int) -> None:
        self.values: dict[str, Any] = {}
        self.uploads: list[Upload] = []
        self._texts = texts
        self._files = files
        self._counts: Counter[str] = Counter()
        self._invalid_status = invalid_status

    async def read_parts(self, parts: Parts) -> None:
        while (head := await parts.next()) is not None:
            name = head.name
            if name in self._files:
                await self._read_file(parts, name, is_file=head.is_file)
                continue
            if head.is_file and name in self._texts:
                self._refuse(name, "is a text and no file")
            if name not in self._texts and name != _CHARSET:
                self._refuse_unknown(name)
            data = await parts.data(_TEXT_LIMIT)
            if data is None:
                self._refuse(name, f"is longer than {_TEXT_LIMIT >> 10} KiB")
            try:
                self._put(name, data.decode("utf-8"))
            except UnicodeDecodeError:
                raise bad_body(f"The field {name} is not UTF-8 text") from None

    async def _read_file(self, parts: Parts, name: str, *, is_file: bool) -> None:
        full = self._counts[name] == self._files[name]
        data = await parts.data(FILE_LIMIT if is_file and not full else 0)
        if data is None and not is_file:
            self._refuse(name, "is a file and no text; send it with a file name")
        if data is None and full:
            self._refuse(name, f"has more than {self._files[name]} files")
        if data is None:
            limit = f"{FILE_LIMIT >> 20} MiB"
            self._refuse(name, f"is larger than {limit}", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if data:
            self._counts[name] += 1
            self.uploads.append(Upload(field=name, data=data))

    def read_pairs(self, body: bytes) -> None:
        try:
            pairs = parse_qsl(
                body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_LIMIT
            )
        except UnicodeDecodeError:
            raise bad_body("The form is not UTF-8 text") from None
        except ValueError:
            raise bad_body(f"The form has more than {_FIELDS_LIMIT} fields") from None
        for name, text in pairs:
            if name in self._files and text:
                self._refuse(name, "is a file; send the form as multipart/form-data")
            elif name in self._texts or name == _CHARSET:
                if len(text.encode()) > _TEXT_LIMIT:
                    self._refuse(name, f"is longer than {_TEXT_LIMIT >> 10} KiB")
                self._put(name, text)
            elif name not in self._files:
                self._refuse_unknown(name)

    def read_object(self, body: bytes) -> None:
        try:
            given = from_json(body, allow_inf_nan=False)
        except ValueError:
            raise bad_body("The body is not valid JSON") from None
        check_names(body)
        if not isinstance(given, dict):
            raise bad_body("The body is not a JSON object")
        for name, value in given.items():
            if name in self._files and value is not None:
                self._refuse(name, "is a file; send the form as multipart/form-data")
            elif name in self._texts:
                self.values[name] = value
            elif name not in self._files:
                self._refuse_unknown(name)

    def _put(self, name: str, text: str) -> None:
        if name == _CHARSET:
            return
        if name in self.values:
            raise bad_body(f"The form is ambiguous: {name} is in it twice")
        self.values[name] = text

    def _refuse_unknown(self, name: str) -> NoReturn:
        known = ", ".join(sorted({*self._texts, *self._files}))
        self._refuse(name[:40], f"is not a field of this form; its fields are {known}")

    def _refuse(self, name: str, problem: str, status: int | None = None) -> NoReturn:
        raise BadRequest(
            Problem(
                status=status or self._invalid_status,
                message=f"The request is not valid: {name} {problem}",
                detail={"code": "invalid", "fields": [{"field": name, "problem": problem}]},
            )
        )


def _names(shape: type[BaseModel]) -> Iterator[str]:
    """What clients call the fields."""
    by_name = shape.model_config.get("populate_by_name") or shape.model_config.get("validate_by_name")
    for name, field in shape.model_fields.items():
        alias = field.validation_alias
        if isinstance(alias, str):
            yield alias
        elif isinstance(alias, AliasChoices):
            yield from (choice for choice in alias.choices if isinstance(choice, str))
        if by_name or alias is None:
            yield name
