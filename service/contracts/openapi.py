"""The route table as an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.1.html).

Bodies and answers come from the pydantic models, credentials from ``Route.access``, the
``Idempotency-Key`` from ``Route.creates``, the shape of errors from the contract. What a
route says of itself is its ``Doc``; see ``describing`` for how to write one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from service.contracts import answers, idempotency
from service.contracts.access import Access
from service.contracts.answers import Answers
from service.contracts.base import Route
from service.contracts.describing import FORMS, Doc, Param, examples_of
from service.contracts.schemas import Mode, Schemas

Tree = dict[str, Any]

#: a parameter in a path of aiohttp's; what follows the colon is a regular expression
_IN_PATH = re.compile(r"\{(?P<name>[A-Za-z_]\w*)(?::(?P<pattern>(?:[^{}]|\{[^{}]*\})*))?\}")

_KEY: Tree = {
    "name": idempotency.HEADER,
    "in": "header",
    "required": False,
    "description": (
        "1 to 255 visible ASCII characters that name this order. The same request with the same key is "
        "answered like the first and does nothing again, for a day; another request with the key is refused."
    ),
    "schema": {"type": "string", "pattern": f"^(?:{idempotency.KEY})$"},
}

_SCHEMES: Tree = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A user's token, or an API key: `Authorization: Bearer ...`",
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "Made with `scenewright keys create`",
    },
}


def document(routes: Sequence[Route], *, info: Mapping[str, Any], cookie: str, identity: bool) -> Tree:
    """The document of all routes that have a ``doc``.

    ``cookie`` is the name of the cookie that brings a token, empty for none. Without ``identity``
    credentials may be shown everywhere and are needed nowhere.
    """
    known = [(route, route.doc) for route in routes if route.doc is not None]
    schemes = {**_SCHEMES, **({"cookie": _cookie_scheme(cookie)} if cookie else {})}
    schemas = Schemas(_models(known))
    operations = _Operations(schemas, schemes, identity=identity)
    paths: Tree = {}
    for route, doc in known:
        path = _IN_PATH.sub(r"{\g<name>}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = operations.of(route, doc)
    tags = dict.fromkeys(doc.tag for _, doc in known)
    return {
        "openapi": "3.1.1",
        "info": dict(info),
        "tags": [{"name": tag.name, "description": tag.description} for tag in tags],
        "paths": paths,
        "components": {
            "schemas": schemas.used(paths),
            "parameters": {idempotency.HEADER: _KEY},
            "headers": answers.HEADERS,
            "securitySchemes": schemes,
        },
    }


class _Operations:
    """Writes one operation for each route."""

    def __init__(self, schemas: Schemas, schemes: Iterable[str], *, identity: bool) -> None:
        self._schemas = schemas
        self._schemes: list[Tree] = [{name: []} for name in schemes]
        self._identity = identity
        self._answers = Answers(schemas, identity=identity)

    def of(self, route: Route, doc: Doc) -> Tree:
        found: Tree = {"tags": [doc.tag.name], "summary": doc.summary, "operationId": doc.operation_id}
        if doc.description:
            found["description"] = doc.description
        if parameters := [*self._parameters(route, doc)]:
            found["parameters"] = parameters
        if doc.body is not None:
            found["requestBody"] = self._body(doc, doc.body)
        found["responses"] = self._answers.of(route, doc)
        found["security"] = self._security(route)
        return found

    def _parameters(self, route: Route, doc: Doc) -> Iterator[Tree]:
        for part in _IN_PATH.finditer(route.path):
            found = _parameter(part["name"], "path", doc.path.get(part["name"], ""))
            if part["pattern"] is not None:
                found["schema"].setdefault("pattern", f"^(?:{part['pattern']})$")
            yield {**found, "required": True}
        for name, required, schema in self._schemas.parameters(doc.query) if doc.query else ():
            said = Param(schema.pop("description", ""), schema)
            yield {**_parameter(name, "query", said), "required": required}
        for name, text in doc.headers.items():
            yield _parameter(name, "header", text)
        if route.creates:
            yield {"$ref": f"#/components/parameters/{idempotency.HEADER}"}

    def _body(self, doc: Doc, model: type[BaseModel]) -> Tree:
        content: Tree = {}
        for media in doc.body_media:
            schema, encoding = self._schemas.body(model, media)
            content[media] = {"schema": schema, **examples_of(doc.body_examples)}
            if encoding:
                content[media]["encoding"] = encoding
            if media in FORMS:
                _fill_in(schema, doc.body_examples)
        return {"required": doc.body_required, "content": content}

    def _security(self, route: Route) -> list[Tree]:
        """Any one of them; the empty one is nothing at all."""
        if route.access is Access.PUBLIC:
            return []
        needed = self._identity and route.access is not Access.OPEN and route.permits is None
        return [*([] if needed else [{}]), *self._schemes]


def _fill_in(form: Tree, examples: Mapping[str, Any]) -> None:
    """Swagger UI fills in a form from what its fields say, not from the form's examples."""
    for name, value in next(iter(examples.values()), {}).items():
        if name in form["properties"]:
            form["properties"][name].setdefault("examples", [value])


def _models(known: Iterable[tuple[Route, Doc]]) -> Iterator[tuple[type[BaseModel], Mode]]:
    for route, doc in known:
        yield from ((model, "validation") for model in (doc.query, doc.body) if model)
        shapes = [shape.model for shapes in doc.answers().values() for shape in shapes]
        yield from ((model, "serialization") for model in (*shapes, route.contract.error_model) if model)


def _cookie_scheme(name: str) -> Tree:
    return {
        "type": "apiKey",
        "in": "cookie",
        "name": name,
        "description": "A user's token as a browser brings it; a header goes before it",
    }


def _parameter(name: str, place: str, said: str | Param) -> Tree:
    param = said if isinstance(said, Param) else Param(said)
    return {
        "name": name,
        "in": place,
        "required": False,
        "description": param.description,
        "schema": dict(param.schema),
    }
