"""Grants and accounts, for whoever looks after the service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from service.contracts.admin import AdminContract
from service.contracts.admin_bodies import Account, Granted
from service.contracts.idempotency import HEADER, REPLAYED
from sessions.api_keys import Scope
from sessions.ledger import LARGEST, Currency
from tests.house import Answer, House, open_house, settings_for
from tests.service.contracts.credits_kit import dust, fits, made, refused, store
from tests.service.contracts.test_identity import ANN, ON, api_key

GRANT = "/api/admin/credits/grant"
GIFT = {"user_id": "ann", "amount": 100, "currency": "dust", "note": "welcome"}
KEY = {HEADER: "gift-1"}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Identity on; nobody has anything."""
    async with open_house(settings_for(tmp_path, ON)) as opened:
        yield opened


@pytest.fixture
async def admin(house: House) -> dict[str, str]:
    key, _ = await api_key(house, "root", Scope.ADMIN)
    return key


async def test_a_grant_and_the_account_after_it(house: House, admin: dict[str, str]) -> None:
    answer = await house.post(GRANT, GIFT, headers=admin)
    assert fits(answer, Granted) == {
        "success": True,
        "user_id": "ann",
        "currency": "dust",
        "available": 100,
        "held": 0,
    }
    job_id = await made(house, "[[fail]] A lamp", ANN)
    body = fits(await house.get("/api/admin/credits/ann", headers=admin), Account)
    assert body["balances"] == {
        "tokens": {"available": 0, "held": 0},
        "dust": {"available": 100, "held": 0},
    }
    assert [
        (it["kind"], it["scene_id"], it["available_delta"], it["held_delta"]) for it in body["charges"]
    ] == [
        ("refund", job_id, 10, 0),
        ("capture", job_id, 0, -10),
        ("hold", job_id, -10, 10),
        ("grant", None, 100, 0),
    ]
    assert body["charges"][-1]["note"] == "welcome"
    newest = await house.get("/api/admin/credits/ann?limit=1", headers=admin)
    assert [it["kind"] for it in newest.json["charges"]] == ["refund"]


async def test_charges_of_both_currencies_stand_in_one_order(house: House, admin: dict[str, str]) -> None:
    for currency, amount in (("dust", 5), ("tokens", 7), ("dust", -2)):
        await house.post(GRANT, {"user_id": "ann", "amount": amount, "currency": currency}, headers=admin)
    body = (await house.get("/api/admin/credits/ann", headers=admin)).json
    assert [(it["currency"], it["available_delta"]) for it in body["charges"]] == [
        ("dust", -2),
        ("tokens", 7),
        ("dust", 5),
    ]
    assert body["balances"] == {"tokens": {"available": 7, "held": 0}, "dust": {"available": 3, "held": 0}}


async def test_an_account_that_was_never_used_shows_what_it_opens_with(tmp_path: Path) -> None:
    async with open_house(settings_for(tmp_path, {"credits": {"opening_dust": 3}})) as house:
        body = fits(await house.get("/api/admin/credits/nobody%2Fknown"), Account)
        assert (body["user_id"], body["balances"]["dust"]["available"], body["charges"]) == (
            "nobody/known",
            3,
            [],
        )
        await house.post(GRANT, {**GIFT, "amount": 4, "user_id": "nobody/known"})
        body = (await house.get("/api/admin/credits/nobody%2Fknown")).json
        assert body["balances"]["dust"]["available"] == 7
        assert [it["note"] for it in body["charges"]] == ["welcome", "opening balance"]


async def test_only_admins_get_in(house: House, admin: dict[str, str], subtests: pytest.Subtests) -> None:
    scenes, _ = await api_key(house, "ann", Scope.SCENES, Scope.BATCH)
    both, _ = await api_key(house, "root", Scope.SCENES, Scope.ADMIN)
    for name, who, status in (
        ("nobody", {}, 401),
        ("a user", ANN, 403),
        ("a key for scenes", scenes, 403),
        ("a key for both", both, 200),
        ("an admin", admin, 200),
        ("a bad key", {"X-API-Key": "swk_0000000000000000_" + "0" * 64}, 401),
    ):
        with subtests.test(name):
            answers = [
                await house.post(GRANT, GIFT, headers=who),
                await house.get("/api/admin/credits/ann", headers=who),
            ]
            assert {answer.status for answer in answers} == {status}
            if status != 200:
                for answer in answers:
                    refused(answer, status)
    assert await dust(house, "ann", 0) == (200, 0)
    assert (await house.get("/videos", headers=admin)).status == 403, "an admin's key makes no videos"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"user_id": ""}, "user_id"),
        ({"user_id": " "}, "user_id"),
        ({"user_id": "x" * 256}, "user_id"),
        ({"user_id": "a\nb"}, "user_id"),
        ({"user_id": 5}, "user_id"),
        ({"amount": 0}, "amount"),
        ({"amount": 1.5}, "amount"),
        ({"amount": "5"}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": LARGEST + 1}, "amount"),
        ({"amount": -LARGEST - 1}, "amount"),
        ({"amount": 10**400}, "amount"),
        ({"currency": "gold"}, "currency"),
        ({"currency": None}, "currency"),
        ({"note": "x" * 256}, "note"),
        ({"note": "a\x00b"}, "note"),
        ({"other": 1}, "other"),
    ],
    ids=str,
)
async def test_grants_that_do_not_fit(local: House, change: dict[str, Any], field: str) -> None:
    error = refused(await local.post(GRANT, {**GIFT, **change}), 422)
    assert [it["field"] for it in error["fields"]] == [field]
    assert await store(local).charges_of("ann", Currency.DUST, 1) == []


async def test_what_is_not_there_is_not_taken_back(house: House, admin: dict[str, str]) -> None:
    for amount, status in ((10, 200), (-11, 400), (-10, 200), (-1, 400)):
        answer = await house.post(GRANT, {**GIFT, "amount": amount}, headers=admin)
        assert answer.status == status
        if status == 400:
            refused(answer, 400)
    refused(await house.post(GRANT, {**GIFT, "user_id": "new", "amount": -1}, headers=admin), 400)
    assert await dust(house, "ann") == (0, 0)


@pytest.mark.parametrize("user", ["x" * 256, "%00", "%20", "a%0Ab"])
async def test_names_that_are_none(local: House, user: str) -> None:
    refused(await local.get(f"/api/admin/credits/{user}"), 400)


@pytest.mark.parametrize("limit", ["0", "501", "x"])
async def test_limits_that_are_none(local: House, limit: str) -> None:
    refused(await local.get(f"/api/admin/credits/ann?limit={limit}"), 422)


async def test_other_addresses_have_the_same_shape(local: House) -> None:
    refused(await local.get("/api/admin"), 404)
    refused(await local.get("/api/admin/credits"), 404)
    refused(await local.ask("PUT", GRANT), 405)
    refused(await local.ask("POST", GRANT, data=b"{}", headers={"Content-Type": "text/plain"}), 415)


# ---------------------------------------------------------------------- once


async def test_the_same_key_grants_once(house: House, admin: dict[str, str]) -> None:
    answers: list[Answer] = await asyncio.gather(
        *(house.post(GRANT, GIFT, headers={**admin, **KEY}) for _ in range(5))
    )
    assert {(it.status, it.body) for it in answers} == {(200, answers[0].body)}
    late = await house.post(GRANT, GIFT, headers={**admin, **KEY})
    assert (late.body, late.headers[REPLAYED]) == (answers[0].body, "true")
    other = await house.post(GRANT, {**GIFT, "amount": 5}, headers={**admin, **KEY})
    assert refused(other, 422)["code"] == "idempotency_key_reused"
    assert await dust(house, "ann", 0) == (100, 0)


async def test_without_a_key_every_grant_counts(local: House) -> None:
    for _ in range(2):
        await local.post(GRANT, GIFT)
    assert await dust(local, "ann") == (10_200, 0)


async def test_a_grant_whose_answer_was_never_made_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server died between the grant on disk and the answer."""
    settings = settings_for(tmp_path)

    def die(_balance: object) -> None:
        raise RuntimeError("between")

    async with open_house(settings) as house:
        with monkeypatch.context() as patch:
            patch.setattr("service.contracts.admin._balance", die)
            refused(await house.post(GRANT, GIFT, headers=KEY), 500)
        assert await dust(house, "ann") == (10_100, 0)
    async with open_house(settings) as house:
        again = fits(await house.post(GRANT, GIFT, headers=KEY), Granted)
        assert again["available"] == 10_100
        once_more = await house.post(GRANT, GIFT, headers=KEY)
        assert (once_more.json, once_more.headers[REPLAYED]) == (again, "true")
        assert await dust(house, "ann") == (10_100, 0)
        assert len(await store(house).charges_of("ann", Currency.DUST, 10)) == 2, "opened, and granted once"


async def test_a_refused_grant_leaves_its_key_free(house: House, admin: dict[str, str]) -> None:
    how = {"headers": {**admin, **KEY}}
    refused(await house.post(GRANT, {**GIFT, "amount": -1}, **how), 400)
    assert (await house.post(GRANT, GIFT, **how)).status == 200
    assert await dust(house, "ann", 0) == (100, 0)


async def test_users_are_named_as_they_are(local: House) -> None:
    name = "ünï/côde 💡 'x' %"
    await local.post(GRANT, {**GIFT, "user_id": name})
    body = (await local.get(f"/api/admin/credits/{quote(name, safe='')}")).json
    assert (body["user_id"], body["balances"]["dust"]["available"]) == (name, 10_100)


def test_every_admin_route_is_for_admins() -> None:
    contract = AdminContract.__new__(AdminContract)
    assert {route.access.name for route in contract.routes()} == {"ADMIN"}
