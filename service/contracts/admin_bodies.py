"""Bodies of the administration's requests, and its answers as models for the documentation."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from sessions.api_keys import NAME_LIMIT, is_name
from sessions.ledger import LARGEST, NOTE_LIMIT, ChargeKind, Currency


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"must be 1 to {NAME_LIMIT} printable characters")
    return text


def _whole(amount: Any) -> Any:
    """To JSON, 5.0 is the number 5."""
    return int(amount) if isinstance(amount, float) and amount.is_integer() else amount


def _not_nothing(amount: int) -> int:
    if not amount:
        raise ValueError("must not be 0")
    return amount


def _note(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable, in one line")
    return text


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Grant(_Strict):
    """``POST /api/admin/credits/grant``."""

    user_id: Annotated[str, AfterValidator(_name)] = Field(
        description="As in the claim `sub` of a token",
        json_schema_extra={"minLength": 1, "maxLength": NAME_LIMIT},
    )
    amount: Annotated[
        int, Field(ge=-LARGEST, le=LARGEST), BeforeValidator(_whole), AfterValidator(_not_nothing)
    ] = Field(description="Whole units; below 0 takes back", json_schema_extra={"not": {"const": 0}})
    currency: Annotated[Currency, Field(strict=False)]
    note: Annotated[str, Field(max_length=NOTE_LIMIT), AfterValidator(_note)] = Field(
        default="", description="For people: what it is for"
    )


class Newest(BaseModel):
    """How much of the history."""

    limit: Annotated[int, Field(ge=1, le=500, description="The newest charges, at most so many")] = 50


class AdminProblem(BaseModel):
    """Every error of the administration."""

    model_config = ConfigDict(extra="allow", strict=True)

    success: Literal[False]
    error: str = Field(description="One sentence, for people")
    code: str | None = Field(default=None, description="The same for programs")


class AccountBalance(_Strict):
    """What is in an account of one currency."""

    available: int = Field(description="Can be spent")
    held: int = Field(description="Belongs to jobs that have not started")


class Granted(AccountBalance):
    """What the user has now."""

    success: Literal[True]
    user_id: str
    currency: Currency


class AccountCharge(_Strict):
    """A change of a balance; never changed itself."""

    seq: int = Field(description="Its place among all charges")
    currency: Currency
    kind: ChargeKind = Field(
        description="`hold` with the job, `capture` at its start, `release` or `refund` without a video"
    )
    scene_id: str | None = Field(description="What it was for; of a video on its own it is the job's id")
    available_delta: int
    held_delta: int
    at: datetime
    note: str


class AccountBalances(_Strict):
    """Both currencies; one is never changed into the other."""

    tokens: AccountBalance
    dust: AccountBalance


class Account(_Strict):
    """What a user has, and why."""

    success: Literal[True]
    user_id: str
    balances: AccountBalances
    charges: list[AccountCharge] = Field(description="Newest first")
