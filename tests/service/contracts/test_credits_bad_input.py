"""Bad input to the credit-jobs contract: refused in its shape, in readable words, and free of charge."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.house import House
from tests.service.contracts.credits_kit import IMAGE, PLENTY, PROMPT, dust, jobs_on_record, made, refused
from tests.service.contracts.kit import raw

UNKNOWN = "6a7d5d3e-2f43-4f0b-8c57-1d6f3f0a9b21"
ODD = ("\x00", "line\nbreak", "x" * 256, "   ", "")

#: path, body, the field that is named
NOT_VALID: list[tuple[str, Any, str]] = [
    ("generate", {}, "prompt"),
    ("generate", {"prompt": ""}, "prompt"),
    ("generate", {"prompt": "   "}, "prompt"),
    ("generate", {"prompt": None}, "prompt"),
    ("generate", {"prompt": 5}, "prompt"),
    ("generate", {"prompt": ["A lamp"]}, "prompt"),
    ("generate", {"prompt": "A\x00lamp"}, "prompt"),
    ("generate", {"prompt": "x" * 10_001}, "prompt"),
    ("generate", {"prompt": PROMPT, "duration": 5}, "duration"),
    ("generate", {"prompt": PROMPT, "duration": "Short"}, "duration"),
    ("generate", {"prompt": PROMPT, "resolution": "720p"}, "resolution"),
    ("generate", {"prompt": PROMPT, "aspect_ratio": "16x9"}, "aspect_ratio"),
    ("generate", {"prompt": PROMPT, "aspect_ratio": "21:9"}, "aspect_ratio"),
    ("generate", {"prompt": PROMPT, "camera_fixed": "true"}, "camera_fixed"),
    ("generate", {"prompt": PROMPT, "camera_fixed": 1}, "camera_fixed"),
    ("generate", {"prompt": PROMPT, "reference_person": "p"}, "reference_person"),
    ("generate", {"prompt": PROMPT, "reference_person": {}}, "reference_person.person_id"),
    (
        "generate",
        {"prompt": PROMPT, "reference_person": {"person_id": "p", "name": "x"}},
        "reference_person.name",
    ),
    ("generate", {"prompt": PROMPT, "reference_person": {"person_id": "\x00"}}, "reference_person.person_id"),
    ("generate", {"prompt": PROMPT, "user_id": 7}, "user_id"),
    *(("generate", {"prompt": PROMPT, "user_id": odd}, "user_id") for odd in ODD),
    ("generate", {"prompt": PROMPT, "image_url": IMAGE}, "image_url"),
    ("generate", {"prompt": PROMPT, "model": "any"}, "model"),
    ("generate", {"prompt": PROMPT, "price": 0}, "price"),
    ("animate", {}, "image_url"),
    ("animate", {"image_url": None}, "image_url"),
    ("animate", {"image_url": IMAGE, "aspect_ratio": "16:9"}, "aspect_ratio"),
    ("animate", {"image_url": IMAGE, "prompt": ""}, "prompt"),
    ("animate", {"image_url": "lighthouse.png"}, "image_url"),
    ("animate", {"image_url": "data:image/png;base64,AAAA"}, "image_url"),
    ("animate", {"image_url": "file:///etc/passwd"}, "image_url"),
    ("animate", {"image_url": "https://user:pw@example.com/x.png"}, "image_url"),
    ("animate", {"image_url": "http://169.254.169.254/latest/meta-data"}, "image_url"),
    ("animate", {"image_url": "http://[::1]/x.png"}, "image_url"),
    ("animate", {"image_url": f"https://example.com/{'x' * 2000}"}, "image_url"),
]


async def test_bodies_that_do_not_fit_name_the_field(local: House, subtests: pytest.Subtests) -> None:
    for path, body, field in NOT_VALID:
        with subtests.test(f"{path} {str(body)[:80]}"):
            error = refused(await local.post(f"/videos/{path}", body), 422)
            assert error["code"] == "invalid"
            assert [it["field"] for it in error["fields"]] == [field]
            assert field in error["error"]
    assert jobs_on_record(local) == 0
    assert await dust(local) == (PLENTY, 0)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"prompt=A+lamp", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[]", 422),
        (b"null", 422),
        (b'"A lamp"', 422),
        (b'{"prompt": "A lamp", "user_id": "\\ud800"}', 400),
        (b"[" * 100_000, 400),
    ],
)
async def test_what_is_no_object_is_refused(local: House, body: bytes, status: int) -> None:
    for path in ("generate", "animate"):
        refused(await raw(local, "POST", f"/videos/{path}", body, Content_Type="text/plain"), status)
    assert jobs_on_record(local) == 0


async def test_a_name_that_is_there_twice_is_refused(local: House) -> None:
    body = b'{"prompt": "A lamp", "prompt": "Another"}'
    refused(await raw(local, "POST", "/videos/generate", body, Content_Type="text/plain"), 400)


async def test_a_body_that_is_too_large_is_refused(local: House) -> None:
    body = json.dumps({"prompt": "x" * (300 << 10)}).encode()
    refused(await raw(local, "POST", "/videos/generate", body, Content_Type="text/plain"), 413)


async def test_a_foreign_page_is_refused(local: House) -> None:
    """Text that a browser sends without asking first could otherwise come from any page."""
    headers = {"Origin": "https://evil.example", "Content_Type": "text/plain"}
    for path in ("/videos/generate", "/api/admin/credits/grant"):
        refused(await raw(local, "POST", path, b'{"prompt": "A lamp"}', **headers), 403)
    assert jobs_on_record(local) == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "is_favorited"),
        ({"is_favorited": 1}, "is_favorited"),
        ({"is_favorited": True, "url": "x"}, "url"),
    ],
)
async def test_changes_that_do_not_fit(local: House, body: Any, field: str) -> None:
    error = refused(await local.put(f"/videos/{UNKNOWN}", body), 422)
    assert [it["field"] for it in error["fields"]] == [field]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=x",
        "limit=-1",
        "limit=1.5",
        f"limit={'9' * 5000}",
        "offset=-1",
        "offset=1e9",
        f"offset={10**10}",
        "favorites_only=maybe",
        "generation_type=text",
        "user_id=",
        "user_id=%00",
        f"user_id={'x' * 256}",
    ],
)
async def test_queries_that_do_not_fit(local: House, query: str) -> None:
    error = refused(await local.get(f"/videos?{query}"), 422)
    assert [it["field"] for it in error["fields"]] == [query.partition("=")[0]]


#: what may be tried in place of an id
TRICKS = [
    UNKNOWN,
    UNKNOWN.upper(),
    "active",
    "0",
    "x" * 300,
    "%00",
    "%ff",
    "..%2f..%2ftest.db",
    "..",
    "%2e%2e",
    "'%20OR%201=1--",
    "%F0%9F%92%A9",
    "*",
    "%25",
]


async def test_ids_that_are_none_are_404(local: House, subtests: pytest.Subtests) -> None:
    for trick in TRICKS:
        for method, path in (
            ("GET", f"/videos/jobs/{trick}/status"),
            ("GET", f"/videos/jobs/{trick}/result"),
            ("DELETE", f"/videos/jobs/{trick}"),
            ("GET", f"/videos/{trick}x"),
            ("DELETE", f"/videos/{trick}"),
        ):
            with subtests.test(f"{method} {path[:60]}"):
                answer = await raw(local, method, path)
                refused(answer, answer.status)
                assert answer.status in (404, 405)
    refused(await local.put(f"/videos/{UNKNOWN}", {"is_favorited": True}), 404)


async def test_words_are_not_taken_for_ids(local: House) -> None:
    assert set((await local.get("/videos/stats")).json) >= {"is_running"}
    assert set((await local.get("/videos/jobs/active")).json) == {"success", "active_jobs", "count"}
    refused(await local.ask("DELETE", "/videos/stats"), 404)
    refused(await local.get("/videos/generate"), 404)
    refused(await local.get("/videos/jobs"), 404)


async def test_a_file_outside_is_not_deleted_by_an_odd_id(local: House) -> None:
    job_id = await made(local)
    video = (await local.get(f"/videos/{job_id}")).json["video"]
    name = video["url"].rpartition("/")[2]
    for trick in (name, f"..%2foutputs%2f{name}", f"{job_id}%00", f"{job_id}/../{job_id}"):
        assert (await raw(local, "DELETE", f"/videos/{trick}")).status in (404, 405)
    assert (await local.get(video["url"])).status == 200


async def test_what_the_model_cannot_make_is_said_in_our_words(paid: House) -> None:
    error = refused(await paid.post("/videos/generate", {"prompt": PROMPT, "resolution": "4k_2160p"}), 422)
    assert (error["code"], error["field"], error["allowed"]) == ("unsupported", "resolution", ["hd_720p"])
    assert "hd_720p" in error["error"]
    error = refused(await paid.post("/videos/generate", {"prompt": PROMPT, "aspect_ratio": "4:3"}), 422)
    assert (error["field"], error["allowed"]) == ("aspect_ratio", ["16:9", "9:16", "1:1"])
    assert jobs_on_record(paid) == 0
