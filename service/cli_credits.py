"""``scenewright credits``: what users can spend, and whether the books are true."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from service.command import ConfigFile, beside, run, settings_of
from service.settings import Settings
from sessions.clock import utc_now
from sessions.errors import NotFound
from sessions.ledger import Balance, Charge, Currency, Discrepancy

credits_ = typer.Typer(help="Credits: what users can spend.", no_args_is_help=True)

User = Annotated[str, typer.Argument(metavar="USER", help="As in the claim sub of a token.")]


# Unknown options are arguments: an amount may begin with a minus.
@credits_.command("grant", context_settings={"ignore_unknown_options": True})
def grant(
    user: User,
    amount: Annotated[int, typer.Argument(metavar="AMOUNT", help="Whole units; below 0 to take back.")],
    currency: Annotated[Currency, typer.Option(help="Which of the two.")],
    note: Annotated[str, typer.Option(help="For people: what it is for.")] = "",
    config: ConfigFile = None,
) -> None:
    """Add to what a user can spend; a running server knows at once."""
    balance = run(_grant(settings_of(config), user, currency, amount, note))
    typer.echo(_balance_line(user, currency, balance))


@credits_.command("show")
def show(
    user: User,
    last: Annotated[int, typer.Option(min=0, help="How many of the newest charges to show.")] = 20,
    config: ConfigFile = None,
) -> None:
    """Show a user's balances and the newest charges, newest first."""
    for line in run(_show(settings_of(config), user, last)):
        typer.echo(line)


@credits_.command("check")
def check(config: ConfigFile = None) -> None:
    """Compare accounts, holds, charges and scenes; ends with 1 if any contradict each other."""
    found = run(_check(settings_of(config)))
    for discrepancy in found:
        typer.echo(_discrepancy_line(discrepancy))
    if found:
        sys.exit(1)
    typer.echo("The books are true.")


async def _grant(settings: Settings, user: str, currency: Currency, amount: int, note: str) -> Balance:
    async with beside(settings) as database:
        return await database.grant(
            user, currency, amount, note=note, now=utc_now(), opening=settings.opening(currency)
        )


async def _show(settings: Settings, user: str, last: int) -> list[str]:
    balances, charges = [], []
    async with beside(settings) as database:
        for currency in Currency:
            found = await database.charges_of(user, currency, max(last, 1))
            if found:
                balances.append(_balance_line(user, currency, await database.balance(user, currency)))
                charges += found
    if not balances:
        raise NotFound(f"{user!r} has no account; `scenewright credits grant` opens one")
    newest = sorted(charges, key=lambda charge: charge.seq, reverse=True)[:last]
    return balances + [_charge_line(charge) for charge in newest]


async def _check(settings: Settings) -> list[Discrepancy]:
    async with beside(settings) as database:
        return await database.discrepancies()


def _balance_line(user: str, currency: Currency, balance: Balance) -> str:
    return f"{user}  {currency}  {balance.available} available  {balance.held} held"


def _charge_line(charge: Charge) -> str:
    deltas = f"{charge.available_delta:+d} available  {charge.held_delta:+d} held"
    told = [
        f"{charge.at:%Y-%m-%d %H:%M}Z",
        charge.currency,
        charge.kind,
        deltas,
        charge.scene_id or charge.note,
    ]
    return "  ".join(told).rstrip()


def _discrepancy_line(discrepancy: Discrepancy) -> str:
    scene = f"  scene {discrepancy.scene_id}" if discrepancy.scene_id else ""
    return f"{discrepancy.owner}  {discrepancy.currency}{scene}  {discrepancy.problem}"
