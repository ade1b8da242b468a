"""JSON schemas of the pydantic models that routes name, ready for an OpenAPI document."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import core_schema

from service.contracts.describing import FORMS, MEDIA_TYPES, MULTIPART

_PLACE = "#/components/schemas/"

#: "validation" describes what may come in, "serialization" what goes out
Mode = Literal["validation", "serialization"]
Schema = dict[str, Any]


class _Plain(GenerateJsonSchema):
    """Without a title for every field, which would only repeat its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - its signature
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Schema:
        found = super().default_schema(schema)
        if found.get("default", ...) is None:
            del found["default"]  # may be left out; that null stands for it says nothing more
        return found


class Schemas:
    """One schema for each model, under one name each; ``used`` are those that something points to."""

    def __init__(self, models: Iterable[tuple[type[BaseModel], Mode]]) -> None:
        self._found, whole = models_json_schema(
            list(dict.fromkeys(models)),
            by_alias=True,
            ref_template=_PLACE + "{model}",
            schema_generator=_Plain,
        )
        self._named: dict[str, Schema] = whole.get("$defs", {})

    def of(self, model: type[BaseModel], mode: Mode) -> Schema:
        """A reference to the model's schema."""
        return self._found[model, mode]

    def parameters(self, model: type[BaseModel]) -> Iterator[tuple[str, bool, Schema]]:
        """Name, whether it is required, and schema of each query parameter."""
        schema = self._flat(model)
        for name, field in schema.get("properties", {}).items():
            yield name, name in schema.get("required", ()), field

    def body(self, model: type[BaseModel], media: str) -> tuple[Schema, Schema]:
        """The body's schema as this media type carries it, and the encoding of its parts.

        Forms know no null. Files travel in multipart forms only.
        """
        flat = self._flat(model)
        files = {name: kinds for name, field in flat.get("properties", {}).items() if (kinds := _file(field))}
        if media == MULTIPART:
            encoding = {name: {"contentType": ", ".join(kinds)} for name, kinds in files.items()}
            return flat, encoding
        if files:
            return _without(flat if media in FORMS else self._copy(model), set(files)), {}
        return (flat if media in FORMS else self.of(model, "validation")), {}

    def used(self, document: Any) -> Schema:
        """The named schemas that the document points to, directly or through others."""
        wanted: dict[str, None] = {}
        ahead = list(_references(document))
        while ahead:
            name = ahead.pop()
            if name not in wanted:
                wanted[name] = None
                ahead.extend(_references(self._named[name]))
        return {name: self._named[name] for name in sorted(wanted)}

    def _copy(self, model: type[BaseModel]) -> Schema:
        schema = self.of(model, "validation")
        if "$ref" in schema:
            schema = self._named[schema["$ref"].removeprefix(_PLACE)]
        return copy.deepcopy(schema)

    def _flat(self, model: type[BaseModel]) -> Schema:
        """A copy for forms and queries: what may be null may be absent instead."""
        schema = self._copy(model)
        properties = schema.get("properties", {})
        for name in properties:
            field = properties[name] = _never_null(properties[name])
            if field.get("type") == "array" and name not in schema.get("required", ()):
                field.setdefault("default", [])  # else Swagger UI sends an example for what is left out
        return schema


def _never_null(field: Schema) -> Schema:
    kinds = [kind for kind in field.get("anyOf", ()) if kind != {"type": "null"}]
    if not kinds:
        return field
    rest = {key: value for key, value in field.items() if key != "anyOf"}
    return {**(kinds[0] if len(kinds) == 1 else {"anyOf": kinds}), **rest}


def _file(field: Schema) -> list[str]:
    """The media types of a file or of several; takes its mark away. Empty for anything else."""
    item = field.get("items", field)
    kinds: list[str] = item.pop(MEDIA_TYPES, [])
    return kinds


def _without(schema: Schema, names: set[str]) -> Schema:
    """The schema of the same object where these properties cannot be."""
    schema["properties"] = {name: field for name, field in schema["properties"].items() if name not in names}
    for alternatives in ("anyOf", "oneOf"):
        if alternatives in schema:
            schema[alternatives] = [
                it for it in schema[alternatives] if not names & set(it.get("required", ()))
            ]
    if "required" in schema:
        schema["required"] = [name for name in schema["required"] if name not in names]
    return schema


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        reference = part.get("$ref")
        if isinstance(reference, str) and reference.startswith(_PLACE):
            yield reference.removeprefix(_PLACE)
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)
