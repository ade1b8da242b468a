"""What an attacker tried at the contracts, and got through with."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from service.contracts import idempotency
from service.contracts.monitor import MonitorContract
from service.contracts.rates import Turnstile
from service.intake import ImageIntake
from service.rates import Rates
from sessions.errors import ConfigError
from tests.house import Answer, House, runware_layer, settings_for
from tests.service.contracts import credits_kit, gallery_kit
from tests.service.contracts.kit import connect
from tests.service.contracts.test_identity import ANN, BEN, ON
from tests.service.contracts.video_jobs_kit import PATH, ended, form, order, picture, problem, small_house
from tests.wire.runware_server import RunwareServer

#: what nobody resolves (RFC 2606)
_ADDRESS = "https://images.invalid.example.com/a.jpg"

#: a user of each of these contracts pays here
_PRICED = {"terms": {"gallery": {"currency": "dust", "price": 5}}}


def kept(folder: Path) -> list[str]:
    return [file.name for file in (folder / "uploads").iterdir()]


async def with_image(house: House, who: dict[str, str], colour: str = "orange", **how: Any) -> Answer:
    """An order of a video from an image."""
    files = ("initialImage", picture(colour)), ("endFrame", picture(f"dark{colour}"))
    return await house.ask("POST", PATH, data=form(order(**how), *files), headers=who)


async def stalled(house: House, who: dict[str, str]) -> asyncio.StreamWriter:
    """A form that has begun, and goes no further."""
    begin = (
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {who['Authorization']}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 50000000\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="initialImage"; filename="a"\r\n\r\n'
    )
    _, writer = await connect(house, begin.encode())
    return writer


def turnstile_of(house: House) -> Turnstile:
    for route in house.service.app.router.routes():
        found = getattr(route.handler, "__self__", None)
        if isinstance(found, MonitorContract):
            return found._turnstile
    raise AssertionError("the monitor has the turnstile")


# ---------------------------------------------------------------------- memory and disk


async def test_who_cannot_pay_leaves_no_images_behind(tmp_path: Path) -> None:
    async with small_house(tmp_path, ON) as house:
        assert problem(await with_image(house, ANN), 402)["availableTokens"] == 0
        assert kept(tmp_path) == []


async def test_who_has_too_many_jobs_leaves_no_images_behind(tmp_path: Path) -> None:
    terms = {"terms": {"video_jobs": {"currency": "tokens", "price": 50, "running": 1, "waiting": 0}}}
    async with small_house(tmp_path, ON, terms, {"credits": {"opening_tokens": 1000}}) as house:
        first = await with_image(house, ANN, prompt="A lamp [[slow 20s]]")
        before = sorted(kept(tmp_path))
        assert "Maximum 1 concurrent" in problem(await with_image(house, ANN, "red"), 429)
        assert sorted(kept(tmp_path)) == before
        assert (await with_image(house, BEN, "red")).status == 202  # others are not concerned
        await house.ask("DELETE", f"{PATH}/{first.json['id']}", headers=ANN)


async def test_a_repetition_is_answered_although_the_money_is_gone(tmp_path: Path) -> None:
    key = {idempotency.HEADER: "once"}
    async with small_house(tmp_path, ON, {"credits": {"opening_tokens": 50}}) as house:
        first = await with_image(house, {**ANN, **key})
        again = await with_image(house, {**ANN, **key})
        assert (first.status, again.status) == (202, 202)
        assert first.json["id"] == again.json["id"]
        assert problem(await with_image(house, ANN), 402)


async def test_nothing_is_fetched_for_who_cannot_pay(
    tmp_path: Path, wire: RunwareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []

    async def fetch(_intake: ImageIntake, url: str) -> str:
        fetched.append(url)
        return "no image"

    monkeypatch.setattr(ImageIntake, "fetch", fetch)
    async with small_house(tmp_path, ON, _PRICED, runware_layer(wire)) as house:
        body = {"image_url": _ADDRESS, "resolution": None}
        credits_kit.refused(await house.post("/videos/animate", body, headers=ANN), 402)
        gallery_kit.problem(await house.post(gallery_kit.GENERATE, {"imageUrl": _ADDRESS}, headers=ANN), 402)
    assert fetched == []
    assert not wire.charges


async def test_a_large_body_is_not_read_as_json_for_its_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tens of MiB of it took seconds, during which nobody else was answered."""
    read: list[int] = []
    canonical = idempotency._canonical_json

    def reading(body: bytes) -> bytes | None:
        read.append(len(body))
        return canonical(body)

    monkeypatch.setattr(idempotency, "_canonical_json", reading)
    async with small_house(tmp_path, ON) as house:
        how = {"Content-Type": "multipart/form-data; boundary=x", idempotency.HEADER: "large"}
        answer = await house.ask("POST", PATH, data=b"[" + b"0," * 500_000 + b"0]", headers={**ANN, **how})
        assert answer.status == 400
    assert read == []


async def test_a_user_who_sends_many_forms_slowly_fills_neither_the_memory_nor_the_way_of_others(
    tmp_path: Path,
) -> None:
    """Each held up to 50 MiB for as long as its sender liked, two hundred of them at once."""
    async with small_house(tmp_path, ON, {"credits": {"opening_tokens": 1000}}) as house:
        begun = [await stalled(house, ANN) for _ in range(10)]
        await asyncio.gather(*(writer.drain() for writer in begun))
        assert (await with_image(house, BEN)).status == 202  # the server has looked at all of them by now
        turnstile = turnstile_of(house)
        (line,) = turnstile._lines.values()
        assert (line.forms, line.room.locked()) == (10, True)
        assert (await house.post(PATH, order(), headers=ANN)).status == 202  # small bodies are not concerned
        for writer in begun:
            writer.close()
        async with asyncio.timeout(10):
            while turnstile._lines:
                await asyncio.sleep(0)
        assert (await with_image(house, ANN)).status == 202


def test_long_addresses_do_not_fill_the_memory() -> None:
    """A stranger's made-up queries, of 8 KiB each, were all remembered for a while."""
    settings = settings_for(Path("nowhere"), {"rates": {"reads_per_path": 5, "reads": 200}}).rates
    rates = Rates(settings, tick=lambda: 0.0)
    for number in range(3):
        assert rates.read("client", f"/api/v1/video-jobs/all?{number}{'x' * 8000}") == 0
    assert max(len(repr(key)) for key in rates._paths._full_at) < 100


# ---------------------------------------------------------------------- words


@pytest.mark.parametrize("scheme", ["HTTPS", "Http"])
async def test_the_scheme_of_an_address_may_be_written_in_capitals(tmp_path: Path, scheme: str) -> None:
    """It was taken for the name of an image of ours, which then was not there."""
    address = f"{scheme}://example.com/A.jpg"
    async with small_house(tmp_path) as house:
        video_id, _ = await gallery_kit.ordered(house, {"imageUrl": address, "duration": 1})
        assert (await ended(house, video_id)).job.state.value == "succeeded"
        video = (await house.get(f"/videos/{video_id}")).json["video"]
        assert video["source_image_url"] == address


async def test_an_address_goes_to_the_provider_with_a_plain_scheme(paid: House, wire: RunwareServer) -> None:
    session_id = await paid.session(product_image_url="HTTPS://example.com/A.jpg")
    await paid.finished(await paid.generate(session_id))
    assert "https://example.com/A.jpg" in str(wire.charges[0])
    assert "HTTPS" not in str(wire.charges[0])


# ---------------------------------------------------------------------- odd settings


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"terms": {"scenes": {"currency": "tokens", "price": 50}}}, "terms.scenes: the scenes API charges"),
        ({"terms": {"scenes": {"running": 1, "waiting": 2}}}, "terms.scenes: the scenes API charges"),
        ({"terms": {"credits": {"currency": "dust", "price": 10**16}}}, "terms.credits.price"),
        ({"terms": {"credits": {"result_hours": 1e300}}}, "terms.credits.result_hours"),
        ({"terms": {"credits": {"result_hours": float("inf")}}}, "terms.credits.result_hours"),
        ({"credits": {"opening_dust": 10**30}}, "credits.opening_dust"),
    ],
)
def test_what_would_break_or_be_ignored_later_is_refused_at_the_start(
    tmp_path: Path, section: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        settings_for(tmp_path, section)


def test_the_scenes_api_may_be_limited(tmp_path: Path) -> None:
    terms = settings_for(tmp_path, {"terms": {"scenes": {"running": 1, "result_hours": 24}}}).terms
    assert terms.of("scenes").running == 1


# ---------------------------------------------------------------------- money


async def test_forty_orders_at_once_spend_what_is_there_and_no_more(tmp_path: Path) -> None:
    async with small_house(tmp_path, ON, {"credits": {"opening_tokens": 170}}) as house:
        body = order(prompt="A lamp [[slow 2s]]")
        answers = await asyncio.gather(*(house.post(PATH, body, headers=ANN) for _ in range(40)))
        assert sorted(answer.status for answer in answers) == [202] * 3 + [402] * 37
        jobs = [answer.json["id"] for answer in answers if answer.status == 202]
        ways = [
            ("DELETE", f"{PATH}/{{}}"),
            ("POST", f"{PATH}/{{}}/cancel"),
            ("DELETE", "/videos/jobs/{}"),
            ("POST", "/api/videos/cancel/{}"),
        ]
        stops = [(method, path.format(job)) for job in jobs for method, path in ways]
        await asyncio.gather(*(house.ask(method, path, headers=ANN) for method, path in stops * 3))
        for job in jobs:
            await credits_kit.over(house, job)
        store = credits_kit.store(house)
        assert await store.discrepancies() == []
