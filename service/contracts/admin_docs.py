"""What the administration says of its routes."""

from __future__ import annotations

from service.contracts import admin_bodies as bodies
from service.contracts.describing import Doc, Param, Reply, Tag

ADMIN = Tag(
    name="Administration",
    description=(
        "For whoever looks after the service: with an API key of the scope `admin` "
        "(`scenewright keys create --scope admin`). Where the server asks nobody for credentials, whoever "
        "reaches it may do this too."
    ),
)

_USER = "2b0f7d52-7f0e-4c6e-9d1b-6f5f4f3f2f1f"
_FORBIDDEN = "The credentials have not the scope `admin`"

GRANT = Doc(
    operation_id="grantCredits",
    summary="Add to what a user can spend, or take back",
    description=(
        "Opens the account if there is none. What is held for jobs cannot be taken back. With an "
        "`Idempotency-Key` it is granted once, however often it is sent and whatever crashes in between."
    ),
    tag=ADMIN,
    body=bodies.Grant,
    body_examples={"A gift": {"user_id": _USER, "amount": 100, "currency": "dust", "note": "welcome"}},
    replies={
        200: Reply(
            "What the user has now",
            model=bodies.Granted,
            examples={
                "Granted": {
                    "success": True,
                    "user_id": _USER,
                    "currency": "dust",
                    "available": 100,
                    "held": 0,
                }
            },
        ),
        400: "More would be taken back than is there, or the body is not valid JSON",
        403: _FORBIDDEN,
        415: "The body does not come as `application/json`",
        422: "A field is missing, unknown or not valid; or the `Idempotency-Key` was used for something else",
    },
)

ACCOUNT = Doc(
    operation_id="getAccount",
    summary="Read what a user has, and the newest charges",
    description="An account that was never used shows what it opens with.",
    tag=ADMIN,
    path={
        "user_id": Param(
            "As in the claim `sub` of a token", {"type": "string", "minLength": 1, "maxLength": 255}
        )
    },
    query=bodies.Newest,
    replies={
        200: Reply(
            "The account",
            model=bodies.Account,
            examples={
                "A new user": {
                    "success": True,
                    "user_id": _USER,
                    "balances": {
                        "tokens": {"available": 0, "held": 0},
                        "dust": {"available": 100, "held": 0},
                    },
                    "charges": [
                        {
                            "seq": 2,
                            "currency": "dust",
                            "kind": "grant",
                            "scene_id": None,
                            "available_delta": 100,
                            "held_delta": 0,
                            "at": "2026-11-21T09:00:00+00:00",
                            "note": "welcome",
                        }
                    ],
                }
            },
        ),
        400: "This cannot be the name of a user",
        403: _FORBIDDEN,
        422: "`limit` is not valid",
    },
)
