"""The circuit breakers of one provider: one for itself, one for each of its models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.breaker import Breaker, Scope
from service.sections import LimitsSettings


class Circuits:
    """Keeps submissions away from a provider, or a model, that refuses them."""

    def __init__(self, provider: str, settings: LimitsSettings) -> None:
        self._settings = settings
        self._provider = self._breaker(provider, "provider", settings.breaker_failures)
        self._models: dict[str, Breaker] = {}

    def trouble(self, model: str) -> str | None:
        """Why submissions for the model wait, for people; None while they pass."""
        return self._provider.trouble or self._model(model).trouble

    def troubles(self) -> list[str]:
        """Everything that waits, for operators."""
        found = [self._provider.trouble, *(breaker.trouble for breaker in self._models.values())]
        return [trouble for trouble in found if trouble]

    def are_passable(self, model: str) -> bool:
        """Whether a submission that is made now would not have to wait."""
        return self._model(model).is_passable and self._provider.is_passable

    async def passable(self, model: str) -> None:
        """Wait until a submission may be made."""
        while not self.are_passable(model):
            await self._model(model).passable()
            await self._provider.passable()

    @asynccontextmanager
    async def call(self, model: str) -> AsyncIterator[None]:
        """Wait until a submission may be made, and learn from how it goes."""
        async with self._model(model).call(), self._provider.call():
            yield

    def _model(self, model: str) -> Breaker:
        if model not in self._models:
            self._models[model] = self._breaker(model, "model", 1)
        return self._models[model]

    def _breaker(self, name: str, scope: Scope, failures: int) -> Breaker:
        return Breaker(
            name,
            scope,
            failures=failures,
            pause_seconds=self._settings.breaker_pause_seconds,
            longest_seconds=self._settings.breaker_longest_seconds,
        )
