"""What the running service says of itself, and whether it is true."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from service.contracts import callbacks, documents, health, scenes
from service.contracts import scenes_docs as docs
from service.contracts import scenes_videos_docs as videos_docs
from service.contracts.base import Contract
from service.contracts.describing import Doc
from tests.house import SCENARIOS, Answer, House, open_house, settings_for
from tests.service.contracts.kit import raw, reached, scene_state
from tests.service.contracts.test_identity import ON
from tests.wire.runware_server import RunwareServer, Script

_PAGES = ("/docs", "/api/v1/docs")
_SWAGGER = Path(documents.__file__).parents[1] / "web" / "static" / "swagger"


@pytest.fixture
async def document(local: House) -> dict[str, Any]:
    found: dict[str, Any] = (await local.get("/openapi.json")).json
    return found


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


# ---------------------------------------------------------------------- the document


async def test_every_route_is_described(local: House, document: Mapping[str, Any]) -> None:
    described = {(method, path) for method, path, _ in operations(document)}
    served = set()
    for route in local.service.app.router.routes():
        assert route.resource is not None
        served.add(("GET" if route.method == "HEAD" else route.method, route.resource.canonical))
    assert described == served


async def test_it_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.1"
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


async def test_names_are_unique_and_not_of_the_inside(document: Mapping[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z][A-Za-z0-9]+", name) for name in ids)
    # Two models of one name get the names of their modules, which are nobody's business.
    assert [name for name in document["components"]["schemas"] if "_" in name] == []


async def test_every_route_says_what_it_is_about(document: Mapping[str, Any]) -> None:
    tags = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert all(tags.values())
    for method, path, operation in operations(document):
        assert operation["summary"], (method, path)
        assert operation["tags"][0] in tags, (method, path)
        for parameter in operation.get("parameters", ()):
            assert "$ref" in parameter or parameter["description"], (method, path, parameter)


async def test_every_reference_leads_somewhere(document: Mapping[str, Any]) -> None:
    for reference in references(document):
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


async def test_every_example_is_one(document: Mapping[str, Any], subtests: pytest.Subtests) -> None:
    for method, path, operation in operations(document):
        for name, schema, example in examples(operation):
            with subtests.test(f"{method} {path}", example=name):
                whole = {"components": document["components"], **schema}
                assert [error.message for error in OAS31Validator(whole).iter_errors(example)] == []


def examples(operation: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    for carrier in (*bodies, *operation["responses"].values()):
        for content in carrier.get("content", {}).values():
            for name, example in content.get("examples", {}).items():
                yield name, content["schema"], example["value"]


async def test_orders_and_errors_have_examples(
    document: Mapping[str, Any], subtests: pytest.Subtests
) -> None:
    """Whoever reads only one thing of a route reads its example."""
    for method, path, operation in operations(document):
        for status, answer in operation["responses"].items():
            json = answer.get("content", {}).get("application/json")
            if json:
                with subtests.test(f"{method} {path}", status=status):
                    assert json.get("examples")


async def test_it_is_answered_as_ready_bytes(local: House) -> None:
    first, again = await local.get("/openapi.json"), await local.get("/openapi.json")
    assert first.status == 200
    assert first.body == again.body
    assert first.headers["Content-Type"].startswith("application/json")
    tag = first.headers["ETag"]
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        answer = await local.get("/openapi.json", headers={"If-None-Match": known})
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", tag), known
    assert (await local.get("/openapi.json", headers={"If-None-Match": '"other"'})).body == first.body
    head = await local.ask("HEAD", "/openapi.json")
    assert (head.status, head.body, head.headers["ETag"]) == (200, b"", tag)


async def test_credentials_are_described_as_they_are_wanted(
    document: Mapping[str, Any], tmp_path: Path
) -> None:
    wanted: dict[str, Any] = {}
    for name, settings in {
        "open": settings_for(tmp_path / "open", ON),
        "closed": settings_for(
            tmp_path / "closed", {"auth": {**ON["auth"], "open_scenes": False, "cookie": "seat"}}
        ),
    }.items():
        async with open_house(settings) as house:
            said = (await house.get("/openapi.json")).json
            refused = (await house.get("/api/sessions")).status
            wanted[name] = said["paths"]["/api/sessions"]["get"]["security"], refused
            assert said["paths"]["/healthz"]["get"]["security"] == []
    schemes: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}, {"cookie": []}]
    assert wanted == {"open": ([{}, *schemes], 200), "closed": (schemes, 401)}
    assert document["paths"]["/api/sessions"]["get"]["security"][0] == {}, "identity is off: nobody is asked"


async def test_it_stands_open_where_everything_else_is_closed(tmp_path: Path) -> None:
    layer = {"auth": {**ON["auth"], "open_scenes": False}}
    async with open_house(settings_for(tmp_path, layer)) as house:
        for path in ("/openapi.json", *_PAGES):
            assert (await house.get(path)).status == 200


# ---------------------------------------------------------------------- the pages


def assets(page: Answer) -> list[str]:
    return re.findall(r'(?:href|src)="(/docs/[^"]+)"', page.body.decode())


@pytest.mark.parametrize("path", _PAGES)
async def test_the_page_loads_nothing_from_elsewhere(local: House, path: str) -> None:
    page = await local.get(path)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<title>Scenewright API</title>" in page.body.decode()
    assert "://" not in page.body.decode()
    policy = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert policy["frame-ancestors"] == "'none'"
    assert "script-src" not in policy
    assert [Path(it).name for it in assets(page)] == [
        "swagger-ui.css",
        "docs.css",
        "swagger-ui-bundle.js",
        "init.js",
    ]


async def test_what_the_page_loads_is_kept_for_ever_under_its_address(local: House) -> None:
    paths = assets(await local.get("/docs"))
    assert paths
    for path in paths:
        answer = await local.get(path)
        assert answer.status == 200
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["Content-Type"].partition(";")[0] in ("text/css", "text/javascript")
        assert answer.body == (_SWAGGER / Path(path).name).read_bytes()


async def test_there_is_nothing_else(local: House) -> None:
    version = assets(await local.get("/docs"))[0].split("/")[2]
    for path in (
        f"/docs/{version}/page.html",
        f"/docs/{version}/LICENSE",
        f"/docs/{version}/..%2F..%2Fpage.js",
        "/docs/older/init.js",
        "/docs/",
    ):
        answer = await raw(local, "GET", path)
        assert (answer.status, list(answer.json)) == (404, ["error"]), path


async def test_swagger_ui_comes_with_its_licence() -> None:
    assert "Apache License" in (_SWAGGER / "LICENSE").read_text()
    assert "SmartBear" in (_SWAGGER / "NOTICE").read_text()
    script = (_SWAGGER / "init.js").read_text()
    assert "validatorUrl: null" in script, "else the page tells a stranger of this server"


# ---------------------------------------------------------------------- the answers


def fits(answer: Answer, doc: Doc, contract: Contract = scenes.CONTRACT) -> Answer:
    """The answer is one that the documentation knows, down to the last field."""
    shapes = doc.answers().get(answer.status)
    said = f"{doc.operation_id} {answer.status} {answer.body[:300]!r}"
    assert shapes is not None, said
    models = [shape.model or contract.error_model for shape in shapes if shape.media == "application/json"]
    if answer.status in (204, 304):
        assert not answer.body, said
        return answer
    assert models[0] is not None, said
    models[0].model_validate_json(answer.body)
    return answer


async def test_answers_about_sessions_are_as_described(local: House) -> None:
    made = fits(await local.post("/api/session/create", {"product": "Lamp"}), docs.CREATE_SESSION)
    session_id = made.json["session_id"]
    path, reference = f"/api/session/{session_id}", {"session_id": session_id}
    fits(await local.post("/api/scenes/generate-descriptions", reference), docs.WRITE_DESCRIPTIONS)
    wish = {**reference, "scenario": "hook", "instructions": "Calmer"}
    fits(await local.post("/api/scenes/regenerate-description", wish), docs.REWRITE_DESCRIPTION)
    edit = {"lighting": "Dim", "duration": 1}
    fits(await local.put(f"{path}/scenes/cta", edit), docs.EDIT_DESCRIPTION)
    fits(await local.ask("POST", f"{path}/scenes/cta/approve"), docs.APPROVE_ONE)
    fits(await local.ask("POST", f"{path}/approve"), docs.APPROVE_ALL)
    fits(await local.get(path), docs.GET_SESSION)
    fits(await local.get("/api/sessions?limit=1"), docs.LIST_SESSIONS)


async def test_answers_about_jobs_are_as_described(paid: House, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True))
    session_id = await paid.session()
    generate = await paid.post("/api/videos/generate-scenes", {"session_id": session_id})
    job_id = fits(generate, videos_docs.GENERATE_SCENES).json["job_id"]
    status = f"/api/videos/status/{job_id}"
    await scene_state(paid, job_id, "hook", "running")
    fits(await paid.get(status), videos_docs.STATUS)
    await reached(paid, job_id, lambda job: all(scene.progress == 30 for scene in job.scenes))
    now = fits(await paid.get(status), videos_docs.STATUS)
    known = {"If-None-Match": now.headers["ETag"]}
    assert fits(await paid.get(status, headers=known), videos_docs.STATUS).status == 304
    cancel = await paid.post(f"/api/videos/cancel/{job_id}", {"scenarios": ["cta"]})
    assert fits(cancel, videos_docs.CANCEL).json["still_billed"] == ["cta"]
    fits(await paid.get(status), videos_docs.STATUS)
    again = await paid.post("/api/videos/generate-scenes", {"session_id": session_id})
    fits(again, videos_docs.GENERATE_SCENES)
    wire.release()
    await reached(paid, job_id, lambda job: all(scene.settled for scene in job.scenes))
    fits(await paid.get(status), videos_docs.STATUS)
    fits(await paid.get(f"/api/session/{session_id}"), docs.GET_SESSION)
    fits(await paid.get("/api/sessions"), docs.LIST_SESSIONS)


async def test_answers_about_failures_are_as_described(paid: House, wire: RunwareServer) -> None:
    session_id = await paid.session()
    wire.script("hook", *[Script(fail_code="invalidProviderContent")] * 2, Script())
    for name in SCENARIOS[1:]:
        wire.script(name, Script(fail_code="invalidProviderContent"), Script())
    job_id = await paid.generate(session_id)
    done = await paid.finished(job_id)
    assert done["overall_status"] == "failed"
    fits(await paid.get(f"/api/videos/status/{job_id}"), videos_docs.STATUS)
    cancel = await paid.ask("POST", f"/api/videos/cancel/{job_id}")
    assert fits(cancel, videos_docs.CANCEL).status == 409
    order = {"session_id": session_id, "scenario": "hook"}
    refused = await paid.post("/api/videos/regenerate-scene", order)
    assert fits(refused, videos_docs.REGENERATE_SCENE).status == 500
    new = fits(await paid.post("/api/videos/regenerate-scene", order), videos_docs.REGENERATE_SCENE)
    assert new.status == 200
    later = await paid.post("/api/videos/regenerate-scene?async=1", order)
    assert fits(later, videos_docs.REGENERATE_SCENE).status == 202
    await paid.finished(later.json["job_id"])
    resumed = fits(await paid.ask("POST", f"/api/videos/resume/{job_id}"), videos_docs.RESUME)
    await paid.finished(resumed.json["job_id"])


def refusals(bare: str) -> Iterator[tuple[int, Doc, str, str, Any]]:
    """Status, route, and the request; ``bare`` is a session without descriptions. Bytes are sent as JSON."""
    create, approve = "/api/session/create", f"/api/session/{bare}/approve"
    one = f"/api/session/{bare}/scenes"
    write, film = "/api/scenes/generate-descriptions", "/api/videos/generate-scenes"
    yield 400, docs.CREATE_SESSION, "POST", create, b"{"
    yield 415, docs.CREATE_SESSION, "POST", create, None
    yield 422, docs.CREATE_SESSION, "POST", create, b"{}"
    yield 400, docs.LIST_SESSIONS, "GET", "/api/sessions?limit=201", None
    yield 404, docs.GET_SESSION, "GET", "/api/session/none", None
    yield 400, docs.EDIT_DESCRIPTION, "PUT", f"{one}/plot", b"{}"
    yield 404, docs.EDIT_DESCRIPTION, "PUT", "/api/session/none/scenes/cta", b'{"description": "x"}'
    yield 422, docs.EDIT_DESCRIPTION, "PUT", f"{one}/cta", b"{}"
    yield 400, docs.APPROVE_ALL, "POST", approve, None
    yield 400, docs.APPROVE_ONE, "POST", f"{one}/cta/approve", None
    yield 400, docs.APPROVE_ONE, "POST", f"{one}/plot/approve", None
    yield 404, docs.WRITE_DESCRIPTIONS, "POST", write, b'{"session_id": "none"}'
    yield 400, videos_docs.GENERATE_SCENES, "POST", film, f'{{"session_id": "{bare}"}}'.encode()
    yield 404, videos_docs.GENERATE_SCENES, "POST", film, b'{"session_id": "none"}'
    yield 404, videos_docs.STATUS, "GET", "/api/videos/status/none", None
    yield 404, videos_docs.CANCEL, "POST", "/api/videos/cancel/none", None
    yield 404, videos_docs.RESUME, "POST", "/api/videos/resume/none", None


async def test_refusals_are_as_described(local: House, subtests: pytest.Subtests) -> None:
    bare = (await local.post("/api/session/create", {"product": "Lamp"})).json["session_id"]
    as_json = {"Content-Type": "application/json"}
    for status, doc, method, path, body in refusals(bare):
        with subtests.test(f"{method} {path}", status=status):
            answer = await local.ask(method, path, data=body, headers=as_json if body else {})
            assert fits(answer, doc).status == status


async def test_limits_of_numbers_are_as_described(local: House, document: Mapping[str, Any]) -> None:
    job_id = await local.generate(await local.session())
    await local.finished(job_id)
    for path, names in {
        "/api/sessions": ("limit", "offset"),
        "/api/videos/status/{job_id}": ("wait",),
    }.items():
        said = document["paths"][path]["get"]["parameters"]
        schemas = {parameter["name"]: parameter["schema"] for parameter in said}
        for name in names:
            least, most = schemas[name]["minimum"], schemas[name]["maximum"]
            for value, status in ((least, 200), (least - 1, 400), (most, 200), (most + 1, 400)):
                answer = await local.get(f"{path.format(job_id=job_id)}?{name}={value}")
                assert answer.status == status, (name, value)
        if path == "/api/sessions":
            unasked = (await local.get(path)).json
            assert {name: unasked[name] for name in names} == {it: schemas[it]["default"] for it in names}


async def test_answers_about_health_are_as_described(local: House) -> None:
    alive, ready = await local.get("/healthz"), await local.get("/readyz")
    health.Alive.model_validate_json(alive.body)
    health.Readiness.model_validate_json(ready.body)
    assert ready.status == 200


async def test_answers_to_callbacks_are_as_described(local: House) -> None:
    path = "/callbacks/{task_id}"
    operation = (await local.get("/openapi.json")).json["paths"][path]["post"]
    forged = await local.ask("POST", path.format(task_id="none"))
    assert str(forged.status) in operation["responses"]
    callbacks.CallbackProblem.model_validate_json(forged.body)
