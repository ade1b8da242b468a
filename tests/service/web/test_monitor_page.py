"""The monitor's page (document 001, "Video Monitor Dashboard"): as it is served, and what its script does."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.contracts import monitor
from service.web import pages
from tests.house import House
from tests.node import NODE
from tests.service.contracts.kit import reached
from tests.service.contracts.test_identity import ON
from tests.service.contracts.video_jobs_kit import PATH, ended, ordered, small_house
from tests.wire.cloudinary import CLOUD, KEY, CloudinaryServer
from tests.wire.cloudinary import SECRET as CLOUD_SECRET

ADDRESSES = ("/video-monitor", "/AIStudio/video-monitor")
STATIC = Path(pages.__file__).with_name("static")

FEED = f"{PATH}/all"
SECRET = "a token that opens the monitor"


# ---------------------------------------------------------------------- as it is served


@pytest.mark.parametrize("address", ADDRESSES)
async def test_the_page_is_served_to_everybody(tmp_path: Path, address: str) -> None:
    closed = {"auth": {**ON["auth"], "open_scenes": False}, "monitor": {"open": False, "token": SECRET}}
    async with small_house(tmp_path, closed) as house:
        page = await house.get(address)
        head = await house.ask("HEAD", address)
    assert page.status == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<title>Video monitor</title>" in page.body.decode()
    assert SECRET not in page.body.decode()
    assert (head.status, head.body) == (200, b"")


async def test_both_addresses_show_the_same_page(local: House) -> None:
    bodies = [(await local.get(address)).body for address in ADDRESSES]
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize("address", ADDRESSES)
async def test_the_page_may_load_from_here_only(local: House, address: str) -> None:
    page = await local.get(address)
    policy = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert not {"script-src", "connect-src", "media-src", "style-src"} & set(policy)
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    text = page.body.decode()
    assert not re.search(r" on\w+=| style=|<style|<script(?! type=\"module\" src=)", text), "nothing inline"


async def test_what_the_page_loads_is_there_and_names_no_other_server(local: House) -> None:
    text = (await local.get(ADDRESSES[0])).body.decode()
    loaded = re.findall(r'(?:href|src)="(/[^"]+)"', text)
    assert [Path(it).name for it in loaded] == ["page.css", "monitor.css", "monitor.js"]
    for path in loaded:
        asset = await local.get(path)
        assert asset.status == 200
        assert asset.headers["Content-Type"].partition(";")[0] in ("text/css", "text/javascript")
        text += asset.body.decode()
    assert "://" not in text
    assert not re.search(r"""["'(]//""", text)
    assert "innerHTML" not in text, "what users have written is never read as a page"


async def test_the_page_suits_phones_and_either_light(local: House) -> None:
    page, style = (await local.get(ADDRESSES[0])).body.decode(), await local.get("/static/page.css")
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    assert "color-scheme: light dark" in style.body.decode()


# ---------------------------------------------------------------------- what its script does


@pytest.fixture(autouse=True)
def _always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "_GOOD_FOR", 0.0)


async def watched(house: House, *, looks: int, token: str = "") -> Any:
    """What somebody sees who has the page open; in Node.js, whose stand-in for a browser knows no more."""
    stand_in, script = Path(__file__).with_name("page_stand_in.mjs"), STATIC / "monitor.js"
    process = await asyncio.create_subprocess_exec(
        *(NODE, "--no-warnings", str(stand_in)),
        *(house.address, str(script), token, str(looks)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    return json.loads(out)


def parts(element: Any, word: str) -> Iterator[Any]:
    """The elements of this class, or of this name, within."""
    for child in element["children"]:
        if word in (child.get("className") or "").split() or word == child["name"]:
            yield child
        yield from parts(child, word)


def text(card: Any, word: str) -> str:
    (found,) = parts(card, word)
    return str(found["textContent"])


async def test_it_shows_each_job_and_asks_again_every_three_seconds(tmp_path: Path) -> None:
    async with small_house(tmp_path, {"monitor": {"preview": True}}) as house:
        made = (await ordered(house, prompt="A lamp"))["id"]
        await ended(house, made)
        failed = (await ordered(house, prompt="Nobody may see this [[nsfw]]"))["id"]
        await ended(house, failed)
        slow = (await ordered(house, prompt="A sunset [[slow 20s]]"))["id"]
        await reached(house, slow, lambda it: it.scenes[0].stage.value == "sent")
        seen = await watched(house, looks=1)
        feed = (await house.get(FEED)).json
        film = await house.get(feed["jobs"][2]["videoUrl"])
        await house.post(f"{PATH}/{slow}/cancel", None)
    assert seen["pauses"] == [3000]
    assert seen["notices"][0].startswith("As of ")
    assert seen["form"] is False
    told = [
        (it["children"][0]["textContent"], it["children"][1]["textContent"])
        for it in parts(seen["counts"], "div")
    ]
    assert told == [*feed["counts"].items(), ("Average time", f"{feed['averageSeconds']} s")]
    cards = list(parts(seen["jobs"], "job-card"))
    assert [text(card, "job-id") for card in cards] == [slow[:8], failed[:8], made[:8]]
    for card, job in zip(cards, feed["jobs"], strict=True):
        assert text(card, "status") == job["status"]
        assert len(list(parts(card, f"status-{job['status'].lower()}"))) == 1
        assert text(card, "status-message") == job["statusMessage"]
        assert text(card, "progress-text") == f"{job['progressPercentage']}%"
        (fill,) = parts(card, "progress-fill")
        assert fill["style"] == {"width": f"{job['progressPercentage']}%"}
        lines = list(parts(card, "log-entry"))
        assert [line["className"] for line in lines] == [f"log-entry log-{it['level']}" for it in job["logs"]]
        assert [text(line, "message") for line in lines] == [it["message"] for it in job["logs"]]
    players = [[it["src"] for it in parts(card, "video")] for card in cards]
    assert players == [[], [], [house.address + feed["jobs"][2]["videoUrl"]]]
    assert film.status == 200


async def test_what_has_not_changed_is_asked_for_and_not_sent_again(tmp_path: Path) -> None:
    async with small_house(tmp_path) as house:
        await ended(house, (await ordered(house))["id"])
        seen = await watched(house, looks=3)
    assert [it["status"] for it in seen["requests"]] == [200, 304, 304]
    assert {it["path"] for it in seen["requests"]} == {FEED}
    assert "If-None-Match" not in seen["requests"][0]["headers"]
    assert seen["requests"][1]["headers"]["If-None-Match"].startswith('W/"')
    assert len(list(parts(seen["jobs"], "job-card"))) == 1


async def test_a_video_elsewhere_is_a_link_and_is_not_loaded(tmp_path: Path) -> None:
    async with CloudinaryServer() as cloud:
        account = {"cloud_name": CLOUD, "api_key": KEY, "api_secret": CLOUD_SECRET, "api_url": cloud.address}
        layer = {"monitor": {"preview": True}, "cloudinary": {"enabled": True, **account}}
        async with small_house(tmp_path, layer) as house:
            await ended(house, (await ordered(house))["id"])
            seen = await watched(house, looks=1)
    (card,) = parts(seen["jobs"], "job-card")
    assert list(parts(card, "video")) == []
    (link,) = parts(card, "a")
    assert link["href"].startswith("https://res.cloudinary.com/")


async def test_a_closed_monitor_says_so_and_takes_its_token(tmp_path: Path) -> None:
    async with small_house(tmp_path, {"monitor": {"open": False, "token": SECRET}}) as house:
        await ended(house, (await ordered(house))["id"])
        seen = await watched(house, looks=1, token=SECRET)
    assert [it["status"] for it in seen["requests"]] == [401, 200]
    assert seen["notices"][0] == "This monitor is closed. Its token opens it."
    assert "Authorization" not in seen["requests"][0]["headers"]
    assert seen["requests"][1]["headers"]["Authorization"] == f"Bearer {SECRET}"
    assert seen["form"] is False
    assert len(list(parts(seen["jobs"], "job-card"))) == 1
