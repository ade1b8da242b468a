"""The Store port: what is remembered, and the promises made about it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from sessions.errors import ScenewrightError
from sessions.idempotency import KeyedRequest
from sessions.lifecycle import Transition
from sessions.model import (
    Event,
    Generation,
    Job,
    JobSnapshot,
    Scenario,
    Scene,
    SceneDescription,
    Session,
)


class SceneUnderWay(ScenewrightError):
    """A scene of this session and scenario is already being made."""

    code = "under_way"

    def __init__(self, live: tuple[Scene, ...]) -> None:
        super().__init__()
        self.live = live


class DescriptionChanged(ScenewrightError):
    """The scene description has been changed meanwhile."""

    code = "changed_meanwhile"

    def __init__(self, scenario: Scenario) -> None:
        super().__init__()
        self.scenario = scenario


class RequestKnown(ScenewrightError):
    """A request with this idempotency key has come before."""

    code = "request_known"

    def __init__(self, known: KeyedRequest) -> None:
        super().__init__()
        self.known = known


class Superseded(Exception):
    """The stored scene is not what this writer took it for: settled, or in other hands."""


class StoreUnavailable(Exception):
    """The store cannot be read or written at the moment. Never a reason to end a scene."""


class Store(Protocol):
    """Every write is one transaction, and is durable when the call returns."""

    async def create_session(self, session: Session, request: KeyedRequest | None = None) -> None:
        """Remember a new session with its descriptions; one that is known already stays as it is.

        ``request`` is put on record in the same transaction; raises ``RequestKnown`` if it is there.
        """

    async def session(self, session_id: str) -> Session | None:
        """The session with descriptions and takes, or None."""

    async def sessions(self, *, limit: int, offset: int) -> tuple[list[Session], int]:
        """A page of sessions, newest first, and how many there are in all."""

    async def save_descriptions(
        self, session_id: str, descriptions: Sequence[SceneDescription], now: datetime
    ) -> None:
        """Write the named scenarios' descriptions over the versions given; others stay as they are.

        Raises ``DescriptionChanged``, and writes nothing, if a stored version is another one.
        """

    async def create_job(
        self, job: Job, scenes: Sequence[Scene], request: KeyedRequest | None = None
    ) -> JobSnapshot:
        """Remember a job and its scenes, numbering their takes after all earlier ones.

        Raises ``SceneUnderWay`` with the live scenes, and writes nothing, if one of the
        scenarios is already being made for this session. ``request`` is put on record in
        the same transaction; raises ``RequestKnown`` if it is there.
        """

    async def job(self, job_id: str) -> JobSnapshot | None:
        """The job with its scenes, or None."""

    async def jobs_of(self, session_id: str) -> list[Job]:
        """The session's jobs, newest first."""

    async def unfinished_jobs(self) -> list[str]:
        """Ids of all jobs with a scene that is not settled, oldest first."""

    async def apply(self, transition: Transition) -> Job | None:
        """Write the scene, its event and take, and the job's roll-up.

        Answers the job if the scene's state has changed, or else None. Raises ``Superseded``,
        and writes nothing, unless the stored scene is unsettled and carries the attempt of
        ``transition.before``.
        """

    async def cancel(self, job_id: str, scenarios: Collection[Scenario], now: datetime) -> JobSnapshot | None:
        """Cancel those of the job's scenes that have not ended; answers the job, or None if there is none.

        Decided on what is stored, so that a scene whose start was not yet on record never starts.
        """

    async def events(self, job_id: str, *, after: int = 0) -> list[Event]:
        """The job's kept transitions in order, those after the one numbered ``after``."""

    async def generations(self, limit: int) -> list[Generation]:
        """How long the newest ``limit`` clips took, oldest first."""

    async def request(self, caller: str, key: str) -> KeyedRequest | None:
        """The request on record under the caller's key, or None."""

    async def remember_request(self, request: KeyedRequest) -> None:
        """Put a request, or the answer to it, on record."""

    async def forget_requests(self, before: datetime) -> int:
        """Drop requests that came before; answers how many."""
