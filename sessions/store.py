"""The Store port: what is remembered, and the promises made about it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from sessions.errors import ScenewrightError
from sessions.lifecycle import Transition
from sessions.model import Event, Job, JobSnapshot, Scenario, Scene, SceneDescription, Session


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


class Superseded(Exception):
    """The stored scene is not what this writer took it for: it has ended, or somebody took it anew."""


class StoreUnavailable(Exception):
    """The store cannot be read or written at the moment. Never a reason to end a scene."""


class Store(Protocol):
    """Every write is one transaction, and is durable when the call returns."""

    async def create_session(self, session: Session) -> None:
        """Remember a new session with its descriptions; one that is known already stays as it is."""

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

    async def create_job(self, job: Job, scenes: Sequence[Scene]) -> JobSnapshot:
        """Remember a job and its scenes, numbering their takes after all earlier ones.

        Raises ``SceneUnderWay`` with the live scenes, and writes nothing, if one of the
        scenarios is already being made for this session.
        """

    async def job(self, job_id: str) -> JobSnapshot | None:
        """The job with its scenes, or None."""

    async def jobs_of(self, session_id: str) -> list[Job]:
        """The session's jobs, newest first."""

    async def unfinished_jobs(self) -> list[str]:
        """Ids of all jobs that are not closed, oldest first."""

    async def apply(self, transition: Transition) -> Job:
        """Write the scene, its event and take, and the job's roll-up; answers the job.

        Raises ``Superseded``, and writes nothing, unless the stored scene is live and
        carries the attempt of ``transition.before``.
        """

    async def events(self, job_id: str) -> list[Event]:
        """The job's kept transitions in order."""
