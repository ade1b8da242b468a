"""The answers of the gallery contract are as its documentation says, down to the last field."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.contracts import gallery_docs as docs
from service.contracts.gallery_base import LIST, ORDERS, STATUS
from tests.house import House, open_house, settings_for
from tests.service.contracts import gallery_kit as kit
from tests.service.contracts.gallery_kit import asked, ordered, over, picture
from tests.service.contracts.test_documents import fits
from tests.service.contracts.test_gallery import form
from tests.service.contracts.test_identity import ON
from tests.sessions.making import new_id


async def test_answers(local: House) -> None:
    started = fits(await local.post(kit.GENERATE, kit.EXAMPLE), docs.GENERATE, ORDERS)
    fits(await local.ask("POST", kit.GENERATE, data=form(image=picture())), docs.GENERATE, ORDERS)
    video_id, task_id = started.json["videoId"], started.json["taskId"]
    fits(await asked(local, video_id, task_id), docs.STATUS, STATUS)
    await over(local, video_id)
    last = fits(await asked(local, video_id, task_id), docs.STATUS, STATUS)
    known = {"If-None-Match": last.headers["ETag"]}
    fits(await asked(local, video_id, task_id, headers=known), docs.STATUS, STATUS)
    failed, _ = await ordered(local, {"prompt": "A lamp [[fail]]"})
    await over(local, failed)
    fits(await asked(local, failed), docs.STATUS, STATUS)
    wanted = [{"videoId": video_id}, {"videoId": failed}, {"videoId": new_id()}, {"taskId": "x"}]
    fits(await local.post(kit.STATUSES, {"videos": wanted}), docs.STATUSES, STATUS)
    await local.generate(await local.session())
    fits(await local.get(kit.LIST), docs.GALLERY, LIST)


async def test_refusals(local: House, subtests: pytest.Subtests) -> None:
    text = {"Content-Type": "text/csv"}
    for name, answer, doc, contract in (
        ("empty", await local.post(kit.GENERATE, {}), docs.GENERATE, ORDERS),
        ("no model", await local.post(kit.GENERATE, {"prompt": "A", "model": "x"}), docs.GENERATE, ORDERS),
        ("text", await local.ask("POST", kit.GENERATE, data=b"x", headers=text), docs.GENERATE, ORDERS),
        ("no ids", await asked(local), docs.STATUS, STATUS),
        ("unknown", await asked(local, new_id()), docs.STATUS, STATUS),
        ("nothing", await local.post(kit.STATUSES, {}), docs.STATUSES, STATUS),
        ("form", await local.ask("POST", kit.STATUSES, data=b"x", headers=text), docs.STATUSES, STATUS),
        ("page", await local.get(f"{kit.LIST}?limit=x"), docs.GALLERY, LIST),
    ):
        with subtests.test(name):
            assert answer.status >= 400
            fits(answer, doc, contract)


async def test_who_must_show_who_they_are(tmp_path: Path) -> None:
    async with open_house(settings_for(tmp_path, ON)) as house:
        document = (await house.get("/openapi.json")).json
    for path, method in (
        (kit.GENERATE, "post"),
        (kit.GENERATE, "get"),
        (kit.STATUSES, "post"),
        (kit.LIST, "get"),
    ):
        operation = document["paths"][path][method]
        assert {} not in operation["security"]
        example = operation["responses"]["401"]["content"]["application/json"]["examples"]["Example"]
        assert example["value"] == {"success": False, "error": "Authentication required", "status": 401}
