"""The video jobs contract (document 001): from the order to the file, and all that is asked between."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.contracts import video_jobs_views
from service.contracts.idempotency import HEADER
from sessions.store import StoreUnavailable
from tests.house import House, settings_for
from tests.service.contracts.kit import raw, reached, tells_nothing
from tests.service.contracts.test_identity import ANN, BEN, ON
from tests.service.contracts.test_status_poll import statements
from tests.service.contracts.video_jobs_kit import (
    MODEL,
    PATH,
    ended,
    listed,
    looked,
    messages,
    order,
    ordered,
    problem,
    small_house,
    state,
)

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with small_house(tmp_path) as opened:
        yield opened


@pytest.fixture
async def known(tmp_path: Path) -> AsyncIterator[House]:
    """Identity on; everybody has tokens."""
    async with small_house(tmp_path, ON, {"credits": {"opening_tokens": 1000}}) as opened:
        yield opened


# ---------------------------------------------------------------------- the life of a job


async def test_an_order_is_answered_to_the_letter(house: House) -> None:
    answer = await house.post(PATH, order(durationSeconds=8))
    job = answer.json
    assert answer.status == 202
    assert answer.headers["Location"] == f"{PATH}/{job['id']}"
    assert str(uuid.UUID(job["id"])) == job["id"]
    assert {name: job[name] for name in ("prompt", "model", "resolution", "aspectRatio")} == {
        "prompt": "A beautiful sunset over mountains",
        "model": MODEL,
        "resolution": "1080p",
        "aspectRatio": "16:9",
    }
    assert job["durationSeconds"] == 8
    assert job["userId"] == "anonymous"
    assert job["generateAudio"] is False
    assert (job["status"], job["statusMessage"]) == ("PENDING", "Job queued for processing")
    assert job["progressPercentage"] == 0
    assert job["tokensConsumed"] == 50
    assert MOMENT.fullmatch(job["createdAt"])
    assert job["logs"] == [{"timestamp": job["createdAt"], "level": "info", "message": "📝 Job created"}]
    assert not {"completedAt", "errorMessage", "cloudinaryUrl"} & set(job)


async def test_a_running_job_says_so(house: House) -> None:
    job = await ordered(house, prompt="A sunset [[slow 20s]]")
    await reached(house, job["id"], lambda it: it.scenes[0].stage.value == "sent")
    body = await looked(house, job["id"])
    assert (body["status"], body["statusMessage"]) == ("RUNNING", "Video generation in progress...")
    assert 30 <= body["progressPercentage"] < 70
    assert messages(body)[:3] == [
        "📝 Job created",
        "🚀 Starting video generation",
        "☁️  Calling Google Veo API...",
    ]
    assert all(MOMENT.fullmatch(line["timestamp"]) for line in body["logs"])
    await house.post(f"{PATH}/{job['id']}/cancel", None)


async def test_a_finished_job_leads_to_its_video(house: House) -> None:
    job_id = (await ordered(house))["id"]
    await ended(house, job_id)
    body = await looked(house, job_id)
    assert (body["status"], body["progressPercentage"]) == ("SUCCEEDED", 100)
    assert body["statusMessage"] == "Video generation completed successfully!"
    assert MOMENT.fullmatch(body["completedAt"])
    assert body["tokensConsumed"] == 50
    assert body["logs"][-1]["level"] == "success"
    assert "queuePosition" not in body
    assert body["cloudinaryUrl"].startswith(f"{house.address}/outputs/{job_id}")
    video = await house.get(body["cloudinaryUrl"])
    assert (video.status, video.body[4:8]) == (200, b"ftyp")
    answer = await house.get(f"{PATH}/{job_id}/download", allow_redirects=False)
    assert (answer.status, answer.body) == (302, b"")
    assert answer.headers["Location"] == body["cloudinaryUrl"]
    assert (await house.get(f"{PATH}/{job_id}/download")).body == video.body


async def test_a_failed_job_gives_its_tokens_back_and_says_why(house: House) -> None:
    job_id = (await ordered(house, prompt="Nobody may see this [[nsfw]]"))["id"]
    await ended(house, job_id)
    body = await looked(house, job_id)
    assert (body["status"], body["tokensConsumed"]) == ("FAILED", 0)
    assert "content policy" in body["errorMessage"]
    assert (body["errorCode"], body["retryable"]) == ("safety", False)
    assert body["logs"][-1]["level"] == "error"
    assert body["errorMessage"] in messages(body)[-1]
    answer = await house.get(f"{PATH}/{job_id}/download")
    assert problem(answer, 400) == "Video not ready: the job is FAILED"


async def test_there_is_nothing_to_download_before_the_end(house: House) -> None:
    job_id = (await ordered(house, prompt="A sunset [[slow 20s]]"))["id"]
    assert problem(await house.get(f"{PATH}/{job_id}/download"), 400) == "Video not ready yet"
    await house.post(f"{PATH}/{job_id}/cancel", None)


async def test_a_removed_video_is_gone_and_its_job_is_not(house: House) -> None:
    job_id = (await ordered(house))["id"]
    await ended(house, job_id)
    assert (await house.ask("DELETE", f"/videos/{job_id}")).status == 200
    body = (await house.get(f"{PATH}/{job_id}")).json
    assert body["status"] == "SUCCEEDED"
    assert "cloudinaryUrl" not in body
    assert problem(await house.get(f"{PATH}/{job_id}/download"), 404)


async def test_cancel_ends_a_job(house: House) -> None:
    job_id = (await ordered(house, prompt="A sunset [[slow 20s]]"))["id"]
    await state(house, job_id, "running")
    answer = await house.post(f"{PATH}/{job_id}/cancel", None)
    assert (answer.status, answer.json["status"]) == (200, "CANCELLED")
    assert answer.json["statusMessage"] == "Cancelled by user"
    assert answer.json["logs"][-1]["level"] == "warning"
    assert (await looked(house, job_id))["status"] == "CANCELLED"
    again = await house.post(f"{PATH}/{job_id}/cancel", None)
    assert "nothing to cancel" in problem(again, 409)


async def test_a_deleted_record_is_gone_and_its_file_stays(house: House) -> None:
    job_id = (await ordered(house))["id"]
    await ended(house, job_id)
    url = (await looked(house, job_id))["cloudinaryUrl"]
    answer = await house.ask("DELETE", f"{PATH}/{job_id}")
    assert (answer.status, answer.body) == (204, b"")
    for method, path in (("GET", ""), ("GET", "/download"), ("DELETE", ""), ("POST", "/cancel")):
        assert problem(await house.ask(method, f"{PATH}/{job_id}{path}"), 404) == "Job not found"
    assert (await listed(house))["total"] == 0
    assert (await house.get(url)).status == 200


async def test_deleting_a_live_job_cancels_it_first(house: House) -> None:
    job_id = (await ordered(house, prompt="A sunset [[slow 20s]]"))["id"]
    await state(house, job_id, "running")
    assert (await house.ask("DELETE", f"{PATH}/{job_id}")).status == 204
    assert (await ended(house, job_id)).job.state.value == "cancelled"
    assert problem(await house.get(f"{PATH}/{job_id}"), 404) == "Job not found"


# ---------------------------------------------------------------------- polls


async def test_a_poll_asks_the_database_nothing_while_nothing_happens(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = (await ordered(house, prompt="A sunset [[slow 20s]]"))["id"]
    await reached(house, job_id, lambda it: it.scenes[0].stage.value == "sent")
    first = await house.get(f"{PATH}/{job_id}")
    rendered = 0
    whole = video_jobs_views.job_body

    def counting(*given: Any, **named: Any) -> Any:
        nonlocal rendered
        rendered += 1
        return whole(*given, **named)

    monkeypatch.setattr("service.contracts.video_jobs.job_body", counting)
    with statements(house) as seen:
        for _ in range(20):
            answer = await house.get(f"{PATH}/{job_id}")
            assert (answer.status, answer.body) == (200, first.body)
        fresh = await house.get(f"{PATH}/{job_id}", headers={"If-None-Match": first.headers["ETag"]})
        assert (fresh.status, fresh.body) == (304, b"")
    assert (seen, rendered) == ([], 0)
    await house.post(f"{PATH}/{job_id}/cancel", None)
    later = await house.get(f"{PATH}/{job_id}", headers={"If-None-Match": first.headers["ETag"]})
    assert (later.status, later.json["status"]) == (200, "CANCELLED")


async def test_an_order_on_record_is_answered_whatever_becomes_of_the_store(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_given: Any, **_named: Any) -> Any:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(house.service.studio._store, "events", away)
    answer = await house.post(PATH, order())
    assert (answer.status, messages(answer.json)) == (202, ["📝 Job created"])
    await ended(house, answer.json["id"])
    later = await house.get(f"{PATH}/{answer.json['id']}")
    assert "database" in problem(later, 503)
    monkeypatch.undo()
    assert messages(await looked(house, answer.json["id"])).count("📝 Job created") == 1


async def test_what_is_known_already_is_304(house: House, subtests: pytest.Subtests) -> None:
    job_id = (await ordered(house))["id"]
    await ended(house, job_id)
    etag = (await raw(house, "GET", f"{PATH}/{job_id}")).headers["ETag"]
    for tag in ("*", f"W/{etag}", f'"a", {etag}', etag):
        for method in ("GET", "HEAD"):
            with subtests.test(method, tag=tag):
                answer = await raw(house, method, f"{PATH}/{job_id}", If_None_Match=tag)
                assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", etag)


async def test_a_job_of_an_earlier_process_has_all_its_logs(tmp_path: Path) -> None:
    async with small_house(tmp_path) as house:
        job_id = (await ordered(house))["id"]
        await ended(house, job_id)
        before = await looked(house, job_id)
    async with small_house(tmp_path) as house:
        after = await looked(house, job_id)
    port = re.compile(r":\d+/outputs")
    before["cloudinaryUrl"], after["cloudinaryUrl"] = (
        port.sub("", it["cloudinaryUrl"]) for it in (before, after)
    )
    assert after == before


# ---------------------------------------------------------------------- lists


async def test_the_list_is_paged_and_filtered(house: House) -> None:
    good = (await ordered(house))["id"]
    bad = (await ordered(house, prompt="This will fail [[fail]]"))["id"]
    for job_id in (good, bad):
        await ended(house, job_id)
    slow = (await ordered(house, prompt="A sunset [[slow 20s]]"))["id"]
    await state(house, slow, "running")

    async def ids(query: str) -> list[str]:
        return [job["id"] for job in (await listed(house, query))["jobs"]]

    assert await ids("") == [slow, bad, good]
    assert await ids("?limit=1") == [slow]
    assert await ids("?limit=1&offset=1") == [bad]
    assert await ids("?skip=2") == [good]
    assert await ids("?limit=1000") == [slow, bad, good]
    assert await ids("?limit=0") == []
    assert await ids("?offset=3") == []
    assert (await listed(house, "?limit=1"))["total"] == 3
    for word, expected in (
        ("SUCCEEDED", [good]),
        ("failed", [bad]),
        ("Running", [slow]),
        ("PENDING", []),
        ("CANCELLED", []),
        ("", [slow, bad, good]),
    ):
        assert await ids(f"?status_filter={word}") == expected
    await house.post(f"{PATH}/{slow}/cancel", None)
    page = await listed(house, "?status_filter=CANCELLED")
    assert (page["total"], page["jobs"]) == (1, [await looked(house, slow)])


async def test_no_page_is_larger_than_a_hundred(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    store = house.service.studio._store
    jobs = store.jobs

    async def counted(*given: Any, limit: int, offset: int) -> Any:
        asked.append(limit)
        return await jobs(*given, limit=limit, offset=offset)

    monkeypatch.setattr(store, "jobs", counted)
    for limit in ("", "?limit=100", "?limit=101", "?limit=999999999"):
        await listed(house, limit)
    assert asked == [50, 100, 100, 100]


NO_QUERIES: list[tuple[str, str]] = [
    ("status_filter=DONE", "status_filter"),
    ("status_filter=PENDING,RUNNING", "status_filter"),
    ("limit=-1", "limit"),
    ("limit=ten", "limit"),
    ("limit=1.5", "limit"),
    ("limit=", "limit"),
    ("limit=9999999999", "limit"),
    ("limit=%D9%A3", "limit"),
    ("offset=-1", "offset"),
    ("offset=1e3", "offset"),
    ("skip=x", "skip"),
    ("user_id=%00", "user_id"),
    (f"user_id={'x' * 300}", "user_id"),
]


async def test_a_query_that_means_nothing_is_refused(house: House, subtests: pytest.Subtests) -> None:
    for query, word in NO_QUERIES:
        with subtests.test(query[:40]):
            answer = await house.get(f"{PATH}?{query}")
            assert word in problem(answer, 400)
            tells_nothing(answer)


# ---------------------------------------------------------------------- whose they are


NO_IDS: list[str] = [
    "nonsense",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "550e8400-e29b-41d4-a716-446655440000",
    "550e8400-e29b-41d4-a716-44665544000g",
    "550e8400e29b41d4a716446655440000",
    "550e8400-e29b-41d4-a716-446655440000%00",
    "550e8400-e29b-41d4-a716-446655440000%0a",
    "%D9%A3" * 36,
    "x" * 2000,
    "'%20OR%201=1--",
]


async def test_there_is_no_such_job(house: House, subtests: pytest.Subtests) -> None:
    for job_id in NO_IDS:
        for method, path in (("GET", ""), ("GET", "/download"), ("DELETE", ""), ("POST", "/cancel")):
            with subtests.test(f"{method} {job_id[:60]}{path}"):
                answer = await raw(house, method, f"{PATH}/{job_id}{path}", b"" if method == "POST" else None)
                assert problem(answer, 404) == "Job not found"
                tells_nothing(answer)


async def test_ids_are_found_in_upper_case_too(house: House) -> None:
    job_id = (await ordered(house))["id"]
    assert (await looked(house, job_id.upper()))["id"] == job_id


async def test_without_credentials_nobody_gets_in(known: House) -> None:
    job_id = (await ordered(known, ANN))["id"]
    requests = [
        ("POST", PATH),
        ("GET", PATH),
        ("GET", f"{PATH}/{job_id}"),
        ("GET", f"{PATH}/{job_id}/download"),
        ("DELETE", f"{PATH}/{job_id}"),
        ("POST", f"{PATH}/{job_id}/cancel"),
    ]
    for who in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic YTpi"}):
        for method, path in requests:
            answer = await known.ask(method, path, headers=who)
            assert problem(answer, 401) == "Not authenticated"
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert (await looked(known, job_id, ANN))["userId"] == "ann"


async def test_somebody_elses_jobs_are_not_there(known: House) -> None:
    hers = (await ordered(known, ANN))["id"]
    await ended(known, hers)
    for method, path in (("GET", ""), ("GET", "/download"), ("DELETE", ""), ("POST", "/cancel")):
        answer = await known.ask(method, f"{PATH}/{hers}{path}", headers=BEN)
        assert problem(answer, 404) == "Job not found"
    assert await listed(known, who=BEN) == {"jobs": [], "total": 0}
    assert await listed(known, "?user_id=ann", who=BEN) == {"jobs": [], "total": 0}
    assert (await listed(known, who=ANN))["total"] == 1
    video = await known.get((await looked(known, hers, ANN))["cloudinaryUrl"])
    assert video.status == 200  # the link carries its own permission


async def test_where_nobody_is_asked_clients_may_say_for_whom_they_ask(house: House) -> None:
    hers = await ordered(house, user_id="ann")
    his = await ordered(house, userId="ben")
    nobodys = await ordered(house)
    assert [it["userId"] for it in (hers, his, nobodys)] == ["ann", "ben", "anonymous"]
    assert [it["id"] for it in (await listed(house, "?user_id=ann"))["jobs"]] == [hers["id"]]
    assert (await listed(house))["total"] == 3
    assert (await house.get(f"{PATH}/{hers['id']}?user_id=ben")).status == 404


async def test_with_identity_on_nobody_orders_for_somebody_else(known: House) -> None:
    job = await ordered(known, BEN, user_id="ann")
    assert job["userId"] == "ben"


# ---------------------------------------------------------------------- other contracts, other presses


async def test_a_repeated_order_is_the_same_job(house: House) -> None:
    first = await house.post(PATH, order(), headers={HEADER: "press-1"})
    again = await house.post(PATH, order(), headers={HEADER: "press-1"})
    other = await house.post(PATH, order(prompt="Another one"), headers={HEADER: "press-1"})
    assert (first.status, again.status) == (202, 202)
    assert again.json["id"] == first.json["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "used for another request" in problem(other, 400)
    assert (await listed(house))["total"] == 1


async def test_a_job_of_the_scenes_contract_is_told_in_these_words(house: House) -> None:
    session = await house.session({"hook": "A lamp [[fail]]", "cta": "A price [[fail]]"})
    job_id = await house.generate(session)
    await house.finished(job_id)
    body = await looked(house, job_id)
    assert (body["status"], body["tokensConsumed"]) == ("SUCCEEDED", 0)
    assert body["prompt"].startswith("A lamp")
    assert (body["resolution"], body["aspectRatio"], body["durationSeconds"]) == ("144p", "16:9", 1)
    assert body["model"] == "local:preview@1"
    assert messages(body).count("📝 Job created") == 1
    assert messages(body).count("🚀 Starting video generation (problem)") == 1
    assert body["logs"][-1] == {
        "timestamp": body["completedAt"],
        "level": "warning",
        "message": "⚠️ 2 of 4 scenes have no video",
    }
    assert "_problem_" in body["cloudinaryUrl"]
    assert (await house.get(f"{PATH}/{job_id}/download")).status == 200


async def test_a_video_job_is_told_in_the_words_of_others(house: House) -> None:
    job_id = (await ordered(house))["id"]
    assert (await house.finished(job_id))["overall_status"] == "completed"


async def test_settings_take_the_documents_name(tmp_path: Path) -> None:
    from service.settings import load_settings

    assert not settings_for(tmp_path).video_jobs.mock_mode_required
    found = load_settings({}, environ={"MOCK_MODE_REQUIRED": "1"})
    assert found.video_jobs.mock_mode_required
