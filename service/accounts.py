"""Accounts: what users can spend, why that has changed, and grants by whoever looks after the service."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from sessions.clock import Clock
from sessions.idempotency import KeyedRequest
from sessions.ledger import Balance, Charge, Currency
from sessions.store import RequestKnown, Store

_log = structlog.get_logger(__name__)


class Accounts:
    """The ledger, as users and administrators ask for it."""

    def __init__(self, *, store: Store, opening: Callable[[Currency], int], now: Clock) -> None:
        self._store = store
        self._opening = opening  #: what an account of that currency opens with
        self._now = now

    async def balances(self, user: str) -> Mapping[Currency, Balance]:
        """What the user has of each currency; an account that was never used has what it opens with."""
        return {currency: await self._balance(user, currency) for currency in Currency}

    async def charges(self, user: str, limit: int) -> list[Charge]:
        """The user's newest charges of all currencies, newest first."""
        found = [
            charge for currency in Currency for charge in await self._store.charges_of(user, currency, limit)
        ]
        return sorted(found, key=lambda charge: -charge.seq)[:limit]

    async def grant(
        self, user: str, currency: Currency, amount: int, *, note: str, request: KeyedRequest | None
    ) -> Balance:
        """Add to what the user can spend, or with a negative amount take back.

        A request that is on record has done so already, and only hears what is there now. Raises
        ``InvalidInput``.
        """
        try:
            balance = await self._store.grant(
                user,
                currency,
                amount,
                note=note,
                now=self._now(),
                opening=self._opening(currency),
                request=request,
            )
        except RequestKnown:
            return await self._balance(user, currency)
        _log.info("credits.granted", user=user, currency=currency.value, amount=amount)
        return balance

    async def _balance(self, user: str, currency: Currency) -> Balance:
        return await self._store.balance(user, currency, opening=self._opening(currency))
