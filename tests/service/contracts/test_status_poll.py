"""GET /api/videos/status/{job_id} is asked all the time: from memory, rendered once, 304 if unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from service.contracts import scenes_views
from sessions.database import Database
from sessions.model import JobSnapshot
from tests.house import SCENARIOS, House, open_house, runware_layer, settings_for
from tests.service.contracts.kit import problem, raw, reached, scene_state
from tests.wire.runware_server import RunwareServer, Script


@contextmanager
def statements(house: House) -> Iterator[list[str]]:
    """Every SQL statement that the service's engines execute."""
    store = house.service.studio._store
    assert isinstance(store, Database)
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    engines = [store._readers, store._writer]
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        for engine in engines:
            sa.event.remove(engine, "before_cursor_execute", note)


async def held(house: House, wire: RunwareServer) -> str:
    """A job whose four scenes stand at "sent"."""
    wire.script_default(Script(hold=True))
    job_id = await house.generate(await house.session())
    await reached(house, job_id, lambda it: all(scene.stage.value == "sent" for scene in it.scenes))
    return job_id


async def progress(house: House, job_id: str, percent: int) -> None:
    await reached(house, job_id, lambda it: it.scenes[0].progress == percent)


def _url(job_id: str) -> str:
    return f"/api/videos/status/{job_id}"


async def test_headers_of_a_poll(paid: House, wire: RunwareServer) -> None:
    answer = await paid.get(_url(await held(paid, wire)))
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["ETag"].strip('"').isalnum()
    assert answer.headers["ETag"].startswith('"')
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Length"] == str(len(answer.body))


async def test_nothing_new_is_304_without_a_body(
    paid: House, wire: RunwareServer, subtests: pytest.Subtests
) -> None:
    job_id = await held(paid, wire)
    tag = (await paid.get(_url(job_id))).headers["ETag"]
    for known in (tag, f"W/{tag}", f'"a", {tag}', f'"a",{tag} , W/"b"', "*", f"  {tag}  ", " * "):
        for method in ("GET", "HEAD"):
            with subtests.test(f"{method} {known}"):
                answer = await raw(paid, method, _url(job_id), If_None_Match=known)
                assert (answer.status, answer.body) == (304, b"")
                assert answer.headers["ETag"] == tag
                assert answer.headers["Cache-Control"] == "no-cache"
                assert answer.headers["X-Request-ID"]
    with subtests.test("two header lines"):
        lines = f'If-None-Match: "a"\r\nIf-None-Match: {tag}'
        answer = await raw(paid, "GET", _url(job_id), X_First=f"x\r\n{lines}")
        assert answer.status == 304


async def test_other_tags_get_the_body(paid: House, wire: RunwareServer, subtests: pytest.Subtests) -> None:
    job_id = await held(paid, wire)
    current = await paid.get(_url(job_id))
    tag = current.headers["ETag"]
    for known in (
        "",
        '""',
        '"other"',
        tag.strip('"'),
        tag[:-2] + '"',
        tag.upper() + "x",
        '"*"',
        'W/"other"',
        ",",
    ):
        with subtests.test(known):
            answer = await raw(paid, "GET", _url(job_id), If_None_Match=known)
            assert (answer.status, answer.body) == (200, current.body)


async def test_the_tag_changes_when_something_changes(paid: House, wire: RunwareServer) -> None:
    wire.script_default(Script(hold=True, progress=True))
    job_id = await paid.generate(await paid.session())
    await reached(paid, job_id, lambda it: all(scene.progress == 30 for scene in it.scenes))
    tags = [(await paid.get(_url(job_id))).headers["ETag"]]
    for percent, shown in ((40, 45), (80, 60)):
        wire.report_progress("hook", percent)
        await progress(paid, job_id, shown)
        answer = await paid.get(_url(job_id), headers={"If-None-Match": tags[-1]})
        assert answer.status == 200
        assert answer.json["scenes"][0]["progress"] == shown
        tags.append(answer.headers["ETag"])
    wire.release("hook")
    await scene_state(paid, job_id, "hook", "succeeded")
    tags.append((await paid.get(_url(job_id), headers={"If-None-Match": tags[-1]})).headers["ETag"])
    wire.release()
    await paid.finished(job_id)
    last = await paid.get(_url(job_id), headers={"If-None-Match": tags[-1]})
    assert last.status == 200
    assert len({*tags, last.headers["ETag"]}) == 5
    assert (await paid.get(_url(job_id), headers={"If-None-Match": last.headers["ETag"]})).status == 304


async def test_polls_ask_no_database(paid: House, wire: RunwareServer) -> None:
    job_id = await held(paid, wire)
    tag = (await paid.get(_url(job_id))).headers["ETag"]
    with statements(paid) as seen:
        answers = await asyncio.gather(*(paid.get(_url(job_id)) for _ in range(50)))
        unchanged = await asyncio.gather(
            *(paid.get(_url(job_id), headers={"If-None-Match": tag}) for _ in range(50))
        )
    assert seen == []
    assert {answer.body for answer in answers} == {answers[0].body}
    assert {answer.status for answer in unchanged} == {304}
    with statements(paid) as seen:
        await paid.get("/api/sessions")
    assert seen, "the counter counts"


async def test_polls_of_a_finished_job_ask_no_database(paid: House) -> None:
    job_id = await paid.generate(await paid.session())
    await paid.finished(job_id)
    with statements(paid) as seen:
        for _ in range(5):
            assert (await paid.status(job_id))["overall_status"] == "completed"
    assert seen == []


async def test_a_snapshot_is_rendered_once(
    paid: House, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await held(paid, wire)
    rendered: list[JobSnapshot] = []
    render = scenes_views.job_status

    def counting(snapshot: JobSnapshot, *rest: Any) -> bytes:
        rendered.append(snapshot)
        return render(snapshot, *rest)

    monkeypatch.setattr(scenes_views, "job_status", counting)
    await asyncio.gather(*(paid.get(_url(job_id)) for _ in range(30)))
    assert len(rendered) == 1
    wire.release()
    await paid.finished(job_id)
    rendered.clear()
    await asyncio.gather(*(paid.ask("HEAD", _url(job_id)) for _ in range(30)))
    assert len(rendered) <= 1


async def test_head_is_get_without_the_body(paid: House, wire: RunwareServer) -> None:
    job_id = await held(paid, wire)
    got, head = await paid.get(_url(job_id)), await paid.ask("HEAD", _url(job_id))
    assert (head.status, head.body) == (200, b"")
    for name in ("ETag", "Content-Length", "Content-Type", "Cache-Control"):
        assert head.headers[name] == got.headers[name]


async def test_the_same_bytes_after_a_restart(tmp_path: Path, wire: RunwareServer) -> None:
    wire.script("problem", Script(fail_code="providerError"))
    settings = settings_for(tmp_path, runware_layer(wire))
    async with open_house(settings) as house:
        job_id = await house.generate(await house.session())
        await house.finished(job_id)
        before = await house.get(_url(job_id))
    async with open_house(settings) as house:
        after = await house.get(_url(job_id))
        with statements(house) as seen:
            unchanged = await house.get(_url(job_id), headers={"If-None-Match": before.headers["ETag"]})
    assert before.json["overall_status"] == "partial"
    assert (after.status, after.body) == (200, before.body)
    assert after.headers["ETag"] == before.headers["ETag"]
    assert (unchanged.status, unchanged.body, seen) == (304, b"", [])


async def test_a_moving_job_after_a_restart(tmp_path: Path, wire: RunwareServer) -> None:
    """What was shown before is never taken back."""
    settings = settings_for(tmp_path, runware_layer(wire))
    async with open_house(settings) as house:
        job_id = await held(house, wire)
        before = await house.status(job_id)
    async with open_house(settings) as house:
        after = await house.status(job_id)
        assert [scene["progress"] for scene in after["scenes"]] >= [
            scene["progress"] for scene in before["scenes"]
        ]
        assert after["overall_status"] == "generating"
        wire.release()
        assert (await house.finished(job_id))["overall_status"] == "completed"
    assert len(wire.charges) == len(SCENARIOS)


async def test_an_unknown_job_has_no_tag(local: House) -> None:
    answer = await local.get(_url("x"), headers={"If-None-Match": "*"})
    problem(answer, 404)
    assert "ETag" not in answer.headers


async def test_unknown_jobs_are_not_remembered(local: House) -> None:
    """Guessing ids does not fill the memory."""
    for number in range(20):
        await local.get(_url(f"guess-{number}"))
    live = local.service.live
    assert (len(live._moving), len(live._closed)) == (0, 0)
