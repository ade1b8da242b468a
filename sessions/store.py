"""The Store port: what is remembered, and the promises made about it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from sessions.api_keys import ApiKey
from sessions.errors import ScenewrightError
from sessions.idempotency import KeyedRequest
from sessions.ledger import Balance, Charge, Currency, Discrepancy, Purchase
from sessions.lifecycle import Transition
from sessions.model import (
    Event,
    GalleryVideo,
    Generation,
    Job,
    JobFigures,
    JobSnapshot,
    JobState,
    Scenario,
    Scene,
    SceneDescription,
    Session,
    Video,
)
from sessions.quota import Quota
from sessions.viewer import EVERYTHING, SERVICE, Viewer


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

    async def session(self, session_id: str, viewer: Viewer = EVERYTHING) -> Session | None:
        """The session with descriptions and takes; None if there is none that ``viewer`` sees."""

    async def sessions(
        self, viewer: Viewer = EVERYTHING, *, limit: int, offset: int
    ) -> tuple[list[Session], int]:
        """A page of ``viewer``'s own sessions, newest first, and how many there are in all.

        What is nobody's is seen by those who know its id, and not listed.
        """

    async def save_descriptions(
        self, session_id: str, descriptions: Sequence[SceneDescription], now: datetime
    ) -> None:
        """Write the named scenarios' descriptions over the versions given; others stay as they are.

        Raises ``DescriptionChanged``, and writes nothing, if a stored version is another one.
        """

    async def create_job(
        self,
        job: Job,
        scenes: Sequence[Scene],
        request: KeyedRequest | None = None,
        *,
        purchase: Purchase | None = None,
        quota: Quota | None = None,
    ) -> JobSnapshot:
        """Remember a job and its scenes, numbering their takes after all earlier ones.

        Raises ``SceneUnderWay`` with the live scenes, and writes nothing, if one of the
        scenarios is already being made for this session. ``request`` is put on record in
        the same transaction; raises ``RequestKnown`` if it is there. Raises ``QuotaReached`` if the
        owner has too many unfinished jobs under the same terms. ``purchase`` puts the price of the
        scenes aside; raises ``InsufficientCredit`` if there is not enough for all of them.
        """

    async def check_room(
        self, owner: str | None, terms: str, *, purchase: Purchase | None, quota: Quota | None
    ) -> None:
        """Raise ``QuotaReached`` or ``InsufficientCredit`` if ``create_job`` would now, for one scene."""

    async def job(self, job_id: str, viewer: Viewer = SERVICE) -> JobSnapshot | None:
        """The job with its scenes; None if there is none that ``viewer`` sees."""

    async def job_of_scene(self, scene_id: str, viewer: Viewer) -> str | None:
        """The id of the job that the scene belongs to; None if there is none that ``viewer`` sees."""

    async def job_of_task(self, task_id: str, viewer: Viewer) -> str | None:
        """The same for the provider task that a scene has, or had before it was ordered anew."""

    async def delete_job(self, job_id: str, now: datetime) -> None:
        """Let the job's record be there for nobody any more; its videos stay."""

    async def jobs(
        self, viewer: Viewer, states: Collection[JobState], *, limit: int, offset: int
    ) -> tuple[list[JobSnapshot], int]:
        """A page of ``viewer``'s own jobs in these states, newest first, and how many there are in all."""

    async def videos(
        self,
        viewer: Viewer,
        *,
        favorites_only: bool = False,
        from_image: bool | None = None,
        limit: int,
        offset: int,
    ) -> tuple[list[Video], int]:
        """A page of ``viewer``'s own videos, newest first, and how many there are in all.

        ``from_image`` picks those made from an image, or those made from text alone.
        """

    async def video(self, video_id: str, viewer: Viewer) -> Video | None:
        """The video with the take's id, or of the scene with that id.

        None if there is none that ``viewer`` sees.
        """

    async def mark_take(self, take_id: str, now: datetime, *, favorite: bool) -> None:
        """Mark a take as its owner's favourite, or no longer."""

    async def remove_video(self, scene_id: str, now: datetime) -> None:
        """Let the scene's video be there for nobody any more; its file goes after that."""

    async def removed_scenes(self) -> list[Scene]:
        """Scenes whose videos have been removed, while the file or its copy may still be somewhere."""

    async def images_in_use(self) -> set[str]:
        """Images that scenes may still need: addresses, and names in the uploads storage."""

    async def forget_file(self, scene_id: str) -> None:
        """The file of a removed video, and its copy, are gone."""

    async def gallery(
        self, viewer: Viewer, *, status: str | None = None, limit: int, offset: int
    ) -> tuple[list[GalleryVideo], int]:
        """A page of both record stores of document 000, newest first, and how many rows there are in all."""

    async def figures(self) -> JobFigures:
        """Numbers about all jobs."""

    async def secret(self, name: str, value: bytes) -> bytes:
        """The secret on record under the name; ``value`` becomes it if there is none yet."""

    async def shows_file(self, file: str, viewer: Viewer) -> bool:
        """Whether the file is a take of a session that ``viewer`` sees."""

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

    async def cancel(self, job_id: str, scene_ids: Collection[str], now: datetime) -> JobSnapshot | None:
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

    async def add_api_key(self, key: ApiKey) -> None:
        """Put a new key on record."""

    async def api_key(self, key_id: str) -> ApiKey | None:
        """The key on record, revoked or not, or None."""

    async def api_keys(self) -> list[ApiKey]:
        """All keys on record, oldest first."""

    async def revoke_api_key(self, key_id: str, now: datetime) -> ApiKey | None:
        """Let the key open nothing any more; answers it, or None. One that is revoked keeps its time."""

    # ------------------------------------------------------------------ ledger

    async def grant(
        self,
        owner: str,
        currency: Currency,
        amount: int,
        *,
        note: str,
        now: datetime,
        opening: int = 0,
        request: KeyedRequest | None = None,
    ) -> Balance:
        """Add to what the owner can spend; a negative amount takes back, what is held excepted.

        Opens the account if there is none, with ``opening`` beside the grant. ``request`` is put on
        record in the same transaction; raises ``RequestKnown`` if it is there. Raises
        ``InvalidInput``, and writes nothing, if more would be taken back than is there.
        """

    async def balance(self, owner: str, currency: Currency, *, opening: int = 0) -> Balance:
        """What is in the account; one that does not exist yet is taken for what it would open with."""

    async def charges_of(self, owner: str, currency: Currency, limit: int) -> list[Charge]:
        """The newest ``limit`` charges of the account, newest first."""

    async def discrepancies(self) -> list[Discrepancy]:
        """Everything in the ledger that contradicts itself or the scenes; empty if all is well."""
