"""What a route may answer, as OpenAPI's ``responses``: shapes, examples, headers, errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from service.contracts import idempotency
from service.contracts.access import Access
from service.contracts.base import Route
from service.contracts.describing import JSON, Doc, Reply, examples_of
from service.contracts.problems import Problem
from service.contracts.schemas import Schemas

Tree = dict[str, Any]

#: headers that many answers carry
HEADERS: Tree = {
    "X-Request-ID": {
        "description": "Names this request in the server's log; the request's own if it brought a sane one.",
        "schema": {"type": "string"},
    },
    idempotency.REPLAYED: {
        "description": f"`true`: the answer to an earlier request with the same `{idempotency.HEADER}`.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}

_ERRORS = HTTPStatus.BAD_REQUEST  # and everything above

_BINARY: Tree = {"type": "string", "format": "binary"}

_UNKNOWN = "The credentials are missing or not valid"

_ANY_OTHER = (
    "Any other error, in the same shape: 403 asked under a foreign name or from a foreign page, "
    "408 the body did not arrive in time, 413 it is too large, 429 asked too often and 503 cannot be done at "
    "the moment (both: again after `Retry-After`), 500 something broke inside the server."
)


class Answers:
    """Writes them. Without ``identity`` nobody is refused for want of credentials."""

    def __init__(self, schemas: Schemas, *, identity: bool) -> None:
        self._schemas = schemas
        self._identity = identity

    def of(self, route: Route, doc: Doc) -> Tree:
        answers = doc.answers()
        if self._identity and route.access is not Access.PUBLIC:
            answers.setdefault(int(HTTPStatus.UNAUTHORIZED), (Reply(_UNKNOWN),))
        found = {str(status): self._response(route, status, answers[status]) for status in sorted(answers)}
        if route.contract.error_model is not None:
            found["default"] = self._response(
                route, HTTPStatus.INTERNAL_SERVER_ERROR, (Reply(_ANY_OTHER, examples=_broken(route)),)
            )
        return found

    def _response(self, route: Route, status: int, shapes: tuple[Reply, ...]) -> Tree:
        said = {name: text for shape in shapes for name, text in shape.headers.items()}
        if status == HTTPStatus.UNAUTHORIZED:
            said.setdefault("WWW-Authenticate", "How to say who is asking (RFC 6750).")
        headers = _headers(said)
        if route.creates and status < _ERRORS:
            headers[idempotency.REPLAYED] = {"$ref": f"#/components/headers/{idempotency.REPLAYED}"}
        found: Tree = {"description": "\n\n".join(shape.description for shape in shapes), "headers": headers}
        content: Tree = {}
        for shape in shapes:
            for media, schema, examples in self._content(route, status, shape):
                known = content.setdefault(media, {"schema": {"anyOf": []}, "examples": {}})
                if schema not in known["schema"]["anyOf"]:
                    known["schema"]["anyOf"].append(schema)
                known["examples"].update(examples)
        if content:
            found["content"] = {media: _tidied(it) for media, it in content.items()}
        return found

    def _content(
        self, route: Route, status: int, shape: Reply
    ) -> Iterator[tuple[str, Tree, Mapping[str, Any]]]:
        """Media type, schema and examples of one shape; nothing where it has no body."""
        model, examples = shape.model, shape.examples
        if model is None and shape.media == JSON and status >= _ERRORS:
            model = route.contract.error_model
            examples = examples or {"Example": _error_example(route, status, _sentence(shape.description))}
        if model is not None:
            yield shape.media, self._schemas.of(model, "serialization"), examples
        elif shape.media != JSON or examples:
            text = shape.media.startswith("text/")
            schema = {"type": "string"} if text else {} if shape.media == JSON else _BINARY
            yield shape.media, schema, examples


def _error_example(route: Route, status: int, sentence: str) -> Any:
    """The body that the route's contract makes of an error."""
    response = route.contract.render_problem(Problem(status=status, message=sentence))
    return json.loads(response.text or "null")


def _broken(route: Route) -> Tree:
    return {"Example": _error_example(route, HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong")}


def _headers(said: Mapping[str, str]) -> Tree:
    found: Tree = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
    for name, text in said.items():
        found[name] = {"description": text, "schema": {"type": "string"}}
    return found


def _tidied(content: Tree) -> Tree:
    """One shape is no choice, and no examples are none."""
    shapes = content["schema"]["anyOf"]
    found: Tree = {"schema": shapes[0] if len(shapes) == 1 else content["schema"]}
    return {**found, **examples_of(content["examples"])}


def _sentence(description: str) -> str:
    """The first one, without Markdown; errors are one sentence."""
    return re.split(r"[.;:\n]", description, maxsplit=1)[0].replace("`", "")
