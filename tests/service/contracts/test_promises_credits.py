"""Promises of document 004 about its documentation, its choices and its errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from service.contracts import credits_replies as replies
from service.settings import load_settings
from tests.house import House, open_house, settings_for
from tests.service.contracts.credits_kit import IMAGE, PROMPT, made, ordered, refused, store
from tests.service.contracts.test_identity import ANN, BEN, ON
from tests.sessions.making import new_id

#: all that document 004 names, and the addresses that it says have not changed
ADDRESSES = {
    ("POST", "/videos/generate"),
    ("POST", "/videos/animate"),
    ("GET", "/videos/jobs/{job_id}/status"),
    ("GET", "/videos/jobs/{job_id}/result"),
    ("DELETE", "/videos/jobs/{job_id}"),
    ("GET", "/videos/jobs/active"),
    ("GET", "/videos/stats"),
    ("GET", "/videos"),
    ("GET", "/videos/{id}"),
    ("PUT", "/videos/{id}"),
    ("DELETE", "/videos/{id}"),
}

Operations = Mapping[tuple[str, str], Mapping[str, Any]]


@pytest.fixture
async def operations(tmp_path: Path) -> Operations:
    """What the documentation says of each address of the contract, where users are known."""
    async with open_house(settings_for(tmp_path, ON)) as house:
        document = (await house.get("/openapi.json")).json
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path == "/videos" or path.startswith("/videos/")
    }


def in_json(operation: Mapping[str, Any], status: str) -> list[Any]:
    """The examples of an answer."""
    content = operation["responses"][status]["content"]["application/json"]
    return [example["value"] for example in content["examples"].values()]


# ---------------------------------------------------------------------- documentation


async def test_every_address_is_documented_with_requests_and_answers(operations: Operations) -> None:
    assert set(operations) >= ADDRESSES
    for (method, path), operation in operations.items():
        success = "202" if method == "POST" else "200"
        assert in_json(operation, success), (method, path)
        assert ("requestBody" in operation) is (method in ("POST", "PUT"))
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert content["examples"], (method, path)


async def test_every_status_is_described_and_shown(operations: Operations) -> None:
    status = operations["GET", "/videos/jobs/{job_id}/status"]
    words = ["queued", "starting", "processing", "completed", "failed", "cancelled"]
    assert [example["status"] for example in in_json(status, "200")] == words
    assert [word for word in words if f"`{word}`" not in status["description"]] == []


def errors() -> Iterator[tuple[str, str, str]]:
    """What can go wrong with a job, where."""
    for path in ("/videos/generate", "/videos/animate"):
        for status in ("400", "401", "402", "403", "422", "429"):
            yield "POST", path, status
    for method, what in (("GET", "/status"), ("GET", "/result"), ("DELETE", "")):
        for status in ("401", "403", "404"):
            yield method, f"/videos/jobs/{{job_id}}{what}", status
    yield "DELETE", "/videos/jobs/{job_id}", "409"
    for method in ("GET", "PUT", "DELETE"):
        yield method, "/videos/{id}", "404"


async def test_what_can_go_wrong_is_described_and_shown(operations: Operations) -> None:
    for method, path, status in errors():
        answer = operations[method, path]["responses"][status]
        assert len(answer["description"].split()) >= 2, (method, path, status)
        for example in in_json(operations[method, path], status):
            assert replies.CreditsProblem.model_validate(example).success is False
    failed = [
        it for it in in_json(operations["GET", "/videos/jobs/{job_id}/result"], "200") if not it["success"]
    ]
    assert [it["status"] for it in failed] == ["failed", "cancelled"]


async def test_costs_and_times_are_documented_as_they_are(operations: Operations, local: House) -> None:
    terms = load_settings({}, environ={}).terms.credits
    for path, price, body in (
        ("/videos/generate", terms.price, {"prompt": PROMPT}),
        ("/videos/animate", terms.price_with_image, {"image_url": IMAGE}),
    ):
        job = (await local.post(path, body)).json
        seconds = job["estimated_completion_seconds"]
        summary = operations["POST", path]["summary"]
        assert summary.endswith(f"({price} DUST, about {seconds} seconds)")
        (example,) = in_json(operations["POST", path], "202")
        assert example["estimated_completion_seconds"] == seconds


# ---------------------------------------------------------------------- choices


@pytest.mark.parametrize(
    ("resolution", "short_side"),
    [("sd_480p", 480), ("hd_720p", 720), ("hd_1080p", 1080), ("4k_2160p", 1080)],
)
async def test_every_size_and_shape_can_be_ordered(tmp_path: Path, resolution: str, short_side: int) -> None:
    """Of a preview; those of 4K are not that large."""
    shapes = {"16:9": 16 / 9, "9:16": 9 / 16, "1:1": 1, "4:3": 4 / 3, "3:4": 3 / 4}
    async with open_house(settings_for(tmp_path, {"limits": {"slots": 1}})) as house:
        await ordered(house, "[[slow 20s]] The first, behind which the others wait")
        for shape, ratio in shapes.items():
            job_id = await ordered(house, resolution=resolution, aspect_ratio=shape)
            job = await store(house).job(job_id)
            assert job is not None
            scene = job.scenes[0]
            assert min(scene.width, scene.height) == short_side
            assert scene.width / scene.height == pytest.approx(ratio, rel=0.01)


# ---------------------------------------------------------------------- errors


async def test_what_is_not_ones_own_unknown_or_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """403 for whoever names another user; what is another user's is not there, as in every contract."""
    async with open_house(settings_for(tmp_path, ON, {"credits": {"opening_dust": 100}})) as house:
        job_id = await made(house, "A lamp", ANN)
        status = f"/videos/jobs/{job_id}/status"
        assert (await house.get(status, headers=ANN)).status == 200
        refused(await house.get(f"{status}?user_id=ann", headers=BEN), 403)
        assert refused(await house.get(status, headers=BEN), 404)["success"] is False
        refused(await house.get(f"/videos/jobs/{new_id()}/status", headers=ANN), 404)

        async def broken(*_: Any, **__: Any) -> Any:
            raise RuntimeError("secret of the inside")

        monkeypatch.setattr(store(house), "job", broken)
        error = refused(await house.get(f"/videos/jobs/{new_id()}/result", headers=ANN), 500)
        assert (error["success"], error["code"]) == (False, "internal")
