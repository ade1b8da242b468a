"""Addresses at which a provider calls back."""

from __future__ import annotations

import pytest
from pydantic import SecretStr
from yarl import URL

from service.recipes.callbacks import PATH, Callbacks

TASK, OTHER = "0b7d3c1e-0000-4000-8000-000000000001", "0b7d3c1e-0000-4000-8000-000000000002"


def _callbacks(public_url: str = "https://video.example.com", secret: str = "the key") -> Callbacks:
    return Callbacks(public_url, SecretStr(secret))


def _token(callbacks: Callbacks, task_id: str = TASK) -> str:
    return URL(callbacks.url(task_id)).query["token"]


@pytest.mark.parametrize(
    "public_url", ["https://video.example.com/studio", "https://video.example.com/studio/"]
)
def test_the_address_is_the_route_behind_the_public_one(public_url: str) -> None:
    url = URL(_callbacks(public_url).url(TASK))
    assert str(url.with_query(None)) == "https://video.example.com/studio" + PATH.format(task_id=TASK)
    assert set(url.query) == {"token"}


def test_the_token_of_a_task_is_known_again_even_after_a_restart() -> None:
    assert _callbacks().genuine(TASK, _token(_callbacks()))


def test_each_task_has_a_token_of_its_own() -> None:
    callbacks = _callbacks()
    assert _token(callbacks) != _token(callbacks, OTHER)
    assert not callbacks.genuine(OTHER, _token(callbacks))


def test_another_secret_makes_other_tokens() -> None:
    assert not _callbacks().genuine(TASK, _token(_callbacks(secret="another key")))


def test_the_secret_stays_here() -> None:
    assert "the key" not in URL(_callbacks().url(TASK)).human_repr()


@pytest.mark.parametrize(
    "token",
    ["", "wrong", "0" * 32, "ключ", "\udcff", "0" * 100_000],
    ids=["empty", "wrong", "zeros", "not ASCII", "not UTF-8", "long"],
)
def test_any_other_token_is_refused(token: str) -> None:
    callbacks = _callbacks()
    assert not callbacks.genuine(TASK, token)
    assert not callbacks.genuine(TASK, _token(callbacks) + (token or "0"))
    assert not callbacks.genuine(TASK, _token(callbacks)[:-1])
    assert not callbacks.genuine(TASK, _token(callbacks).upper())


@pytest.mark.parametrize("task_id", ["", "задание", "\udcff"])
def test_an_id_that_is_none_is_refused(task_id: str) -> None:
    callbacks = _callbacks()
    assert not callbacks.genuine(task_id, _token(callbacks))
