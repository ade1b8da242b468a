"""The generator, on a route table of toys: forms with files, credentials, errors, several shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pytest
from aiohttp import web
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel, ConfigDict, Field

from service.contracts import openapi
from service.contracts.access import Access
from service.contracts.base import Contract, Route
from service.contracts.describing import EVENT_STREAM, JSON, MULTIPART, URLENCODED, Doc, FilePart, Reply, Tag
from service.contracts.problems import Problem
from sessions.model import Lane

TOYS = Tag(name="Toys", description="Nothing that exists.")
Image = Annotated[bytes, FilePart("image/png", "image/jpeg")]


class Frame(BaseModel):
    seconds: float


class NewToy(BaseModel):
    """What a form brings."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["prompt"]}, {"required": ["firstImage"]}]}
    )

    model: str
    prompt: str | None = Field(default=None, description="What is to be seen")
    lane: Lane | None = None
    seconds: int | float | None = None
    frame: Frame | None = None
    firstImage: Image | None = Field(default=None, description="What it begins with")  # noqa: N815 - on the wire
    referenceImages: list[Image] | None = Field(default=None, max_length=3)  # noqa: N815 - on the wire
    sound: Annotated[bytes, FilePart()] = b""


class Wanted(BaseModel):
    status_filter: Lane | None = Field(default=None, description="Only these")
    limit: int = Field(default=50, le=200)
    after: str


class Toy(BaseModel):
    id: str


class OtherToy(BaseModel):
    name: str


class Problems(BaseModel):
    problem: str
    status: int


async def handler(_request: web.Request) -> web.Response:
    return web.Response()


def rendered(problem: Problem) -> web.Response:
    return web.json_response({"problem": problem.message, "status": problem.status})


CONTRACT = Contract(name="toys", prefixes=("/toys",), render_problem=rendered, error_model=Problems)
CREATE = Doc(
    operation_id="createToy",
    summary="Make one",
    tag=TOYS,
    body=NewToy,
    body_media=(MULTIPART, URLENCODED, JSON),
    body_examples={"Words": {"model": "m", "prompt": "A lamp"}},
    replies={
        202: Reply("Accepted", model=Toy, examples={"One": {"id": "1"}}, headers={"Location": "Where it is"}),
        400: "Neither prompt nor firstImage is given; give one",
        402: (
            Reply("Poor", examples={"Poor": {"problem": "Not enough", "status": 402}}),
            Reply("Or other words", model=OtherToy),
        ),
    },
)
GET = Doc(
    operation_id="getToy",
    summary="Read one",
    tag=TOYS,
    path={"id": "Its number"},
    query=Wanted,
    headers={"If-None-Match": "What is known"},
    replies={
        200: (
            Reply("It", model=Toy),
            Reply("or the other", model=OtherToy),
            Reply("or a stream", media=EVENT_STREAM, examples={"Some": "data: {}\n\n"}),
            Reply("or the thing itself", media="video/mp4"),
        ),
        304: "Nothing new",
        404: Reply("Gone. For good."),
    },
)


def route(doc: Doc | None, access: Access = Access.KNOWN, **more: Any) -> Route:
    values: dict[str, Any] = {"method": "GET", "path": "/toys/{id:[0-9]{1,3}}", **more}
    return Route(handler=handler, contract=CONTRACT, access=access, doc=doc, **values)


def written(
    *routes: Route, cookie: str = "sb-access-token", identity: bool = True
) -> tuple[dict[str, Any], list[Any]]:
    """The document, and its operations."""
    found = openapi.document(routes, info={"title": "Toys", "version": "1"}, cookie=cookie, identity=identity)
    assert [error.message for error in OpenAPIV31SpecValidator(found).iter_errors()] == []
    return found, [operation for methods in found["paths"].values() for operation in methods.values()]


@pytest.fixture
def created() -> dict[str, Any]:
    _, operations = written(route(CREATE, method="POST", path="/toys", creates=True))
    operation: dict[str, Any] = operations[0]
    return operation


@pytest.fixture
def got() -> dict[str, Any]:
    operation: dict[str, Any] = written(route(GET))[1][0]
    return operation


def body(operation: Mapping[str, Any], media: str) -> dict[str, Any]:
    found: dict[str, Any] = operation["requestBody"]["content"][media]
    return found


# ---------------------------------------------------------------------- forms and files


def test_a_form_has_files_and_knows_no_null(created: dict[str, Any]) -> None:
    part = {"type": "string", "format": "binary"}
    properties = body(created, MULTIPART)["schema"]["properties"]
    assert properties["prompt"]["type"] == "string"
    assert properties["prompt"]["description"] == "What is to be seen"
    assert properties["lane"] == {"$ref": "#/components/schemas/Lane"}
    assert properties["seconds"] == {"anyOf": [{"type": "integer"}, {"type": "number"}]}
    assert properties["firstImage"] == {**part, "description": "What it begins with"}
    assert properties["referenceImages"] == {"type": "array", "items": part, "maxItems": 3, "default": []}


def test_the_form_says_what_its_files_may_be(created: dict[str, Any]) -> None:
    images = {"contentType": "image/png, image/jpeg"}
    assert body(created, MULTIPART)["encoding"] == {
        "firstImage": images,
        "referenceImages": images,
        "sound": {"contentType": "application/octet-stream"},
    }


@pytest.mark.parametrize("media", [URLENCODED, JSON])
def test_where_no_files_can_be_none_are_asked_for(created: dict[str, Any], media: str) -> None:
    content = body(created, media)
    assert list(content["schema"]["properties"]) == ["model", "prompt", "lane", "seconds", "frame"]
    assert content["schema"]["anyOf"] == [{"required": ["prompt"]}]
    assert content["schema"]["required"] == ["model"]
    assert "encoding" not in content


def test_json_keeps_its_nulls(created: dict[str, Any]) -> None:
    properties = body(created, JSON)["schema"]["properties"]
    assert properties["prompt"]["anyOf"] == [{"type": "string"}, {"type": "null"}]


def test_every_kind_of_body_has_the_examples(created: dict[str, Any]) -> None:
    for media in (MULTIPART, URLENCODED, JSON):
        assert body(created, media)["examples"] == {"Words": {"value": {"model": "m", "prompt": "A lamp"}}}


def test_the_fields_of_a_form_are_filled_in_from_the_first_example(created: dict[str, Any]) -> None:
    for media in (MULTIPART, URLENCODED):
        properties = body(created, media)["schema"]["properties"]
        assert properties["prompt"]["examples"] == ["A lamp"]
        assert "examples" not in properties["seconds"]
    assert "examples" not in body(created, JSON)["schema"]["properties"]["prompt"]


def test_json_is_named_whatever_it_is_called() -> None:
    media = (JSON, "text/plain")
    plain = Doc(operation_id="x", summary="x", tag=TOYS, body=Frame, body_media=media, replies={204: "Done"})
    document, (operation,) = written(route(plain, method="PUT"))
    for name in media:
        assert body(operation, name)["schema"] == {"$ref": "#/components/schemas/Frame"}
    assert "Frame" in document["components"]["schemas"]
    assert operation["responses"]["204"].get("content") is None


# ---------------------------------------------------------------------- parameters


def test_a_path_is_written_without_its_regular_expression() -> None:
    document, _ = written(route(GET))
    assert list(document["paths"]) == ["/toys/{id}"]


def test_parameters_come_from_path_query_and_headers(got: dict[str, Any]) -> None:
    assert got["parameters"] == [
        {
            "name": "id",
            "in": "path",
            "required": True,
            "description": "Its number",
            "schema": {"type": "string", "pattern": "^(?:[0-9]{1,3})$"},
        },
        {
            "name": "status_filter",
            "in": "query",
            "required": False,
            "description": "Only these",
            "schema": {"$ref": "#/components/schemas/Lane"},
        },
        {
            "name": "limit",
            "in": "query",
            "required": False,
            "description": "",
            "schema": {"type": "integer", "default": 50, "maximum": 200},
        },
        {"name": "after", "in": "query", "required": True, "description": "", "schema": {"type": "string"}},
        {
            "name": "If-None-Match",
            "in": "header",
            "required": False,
            "description": "What is known",
            "schema": {"type": "string"},
        },
    ]


def test_only_routes_that_create_take_an_idempotency_key(
    created: dict[str, Any], got: dict[str, Any]
) -> None:
    key = {"$ref": "#/components/parameters/Idempotency-Key"}
    assert created["parameters"] == [key]
    assert key not in got["parameters"]
    assert "Idempotency-Replayed" in created["responses"]["202"]["headers"]
    assert "Idempotency-Replayed" not in created["responses"]["400"]["headers"]
    assert "Idempotency-Replayed" not in got["responses"]["200"]["headers"]


# ---------------------------------------------------------------------- credentials

_ALL: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}, {"cookie": []}]


@pytest.mark.parametrize(
    ("access", "more", "identity", "security"),
    [
        (Access.PUBLIC, {}, True, []),
        (Access.OPEN, {}, True, [{}, *_ALL]),
        (Access.KNOWN, {}, True, _ALL),
        (Access.ADMIN, {}, True, _ALL),
        (Access.KNOWN, {"permits": lambda _request: False}, True, [{}, *_ALL]),
        (Access.PUBLIC, {}, False, []),
        (Access.KNOWN, {}, False, [{}, *_ALL]),
    ],
    ids=["public", "open", "known", "admin", "with a permission of its own", "public, off", "known, off"],
)
def test_credentials_follow_from_access(
    access: Access, more: dict[str, Any], identity: bool, security: list[Any]
) -> None:
    _, (operation,) = written(route(GET, access, **more), identity=identity)
    assert operation["security"] == security
    assert ("401" in operation["responses"]) is (identity and access is not Access.PUBLIC)


def test_without_a_cookie_none_is_described() -> None:
    document, (operation,) = written(route(GET), cookie="")
    assert list(document["components"]["securitySchemes"]) == ["bearer", "apiKey"]
    assert operation["security"] == [{"bearer": []}, {"apiKey": []}]


def test_who_is_refused_is_told_how_to_say_who_is_asking(got: dict[str, Any]) -> None:
    assert "WWW-Authenticate" in got["responses"]["401"]["headers"]


# ---------------------------------------------------------------------- answers


def test_errors_have_the_shape_and_the_words_of_their_contract(created: dict[str, Any]) -> None:
    said = created["responses"]["400"]
    assert said["description"] == "Neither prompt nor firstImage is given; give one"
    content = said["content"][JSON]
    assert content["schema"] == {"$ref": "#/components/schemas/Problems"}
    example = {"problem": "Neither prompt nor firstImage is given", "status": 400}
    assert content["examples"] == {"Example": {"value": example}}
    assert created["responses"]["default"]["content"][JSON]["schema"] == content["schema"]


def test_one_status_may_have_several_shapes(created: dict[str, Any], got: dict[str, Any]) -> None:
    poor = created["responses"]["402"]
    assert poor["description"] == "Poor\n\nOr other words"
    assert poor["content"][JSON]["schema"]["anyOf"] == [
        {"$ref": "#/components/schemas/Problems"},
        {"$ref": "#/components/schemas/OtherToy"},
    ]
    content = got["responses"]["200"]["content"]
    assert list(content) == [JSON, EVENT_STREAM, "video/mp4"]
    assert len(content[JSON]["schema"]["anyOf"]) == 2
    assert content[EVENT_STREAM]["schema"] == {"type": "string"}
    assert content["video/mp4"]["schema"] == {"type": "string", "format": "binary"}
    assert "content" not in got["responses"]["304"]


def test_every_answer_has_a_request_id(created: dict[str, Any], got: dict[str, Any]) -> None:
    answers = [*created["responses"].values(), *got["responses"].values()]
    assert all("X-Request-ID" in answer["headers"] for answer in answers)
    assert created["responses"]["202"]["headers"]["Location"]["description"] == "Where it is"


def test_only_what_something_points_to_is_in_the_document() -> None:
    document, _ = written(route(CREATE, method="POST", path="/toys"), route(GET), route(None, path="/toys/x"))
    assert list(document["components"]["schemas"]) == ["Frame", "Lane", "OtherToy", "Problems", "Toy"]
    assert list(document["paths"]) == ["/toys", "/toys/{id}"]
    assert document["tags"] == [{"name": "Toys", "description": "Nothing that exists."}]
