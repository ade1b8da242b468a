"""Whether a session's scenes can be filmed: described, and approved. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from sessions.errors import NotReady
from sessions.model import Scenario, Session


def check_described(session: Session, scenarios: Sequence[Scenario]) -> None:
    """Raise ``NotReady``, naming the scenarios that have no description."""
    missing = [
        item.value
        for item in scenarios
        if item not in session.descriptions or not session.descriptions[item].complete
    ]
    if missing:
        raise NotReady(f"Scene descriptions missing: {', '.join(missing)}", details={"missing": missing})


def check_ready(session: Session, scenarios: Sequence[Scenario]) -> None:
    """Raise ``NotReady``, naming the scenarios that have no description or no approval."""
    check_described(session, scenarios)
    unapproved = [item.value for item in scenarios if not session.descriptions[item].approved]
    if unapproved:
        raise NotReady(
            f"Scene descriptions not approved yet: {', '.join(unapproved)}",
            details={"unapproved": unapproved},
        )
