"""Drafts: sessions, and what their scenes shall show, until it is filmed."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from service.providers.catalogue import Catalogue
from service.writers.base import Writer
from sessions.clock import Clock
from sessions.errors import Conflict, InvalidInput, NotFound
from sessions.idempotency import KeyedRequest
from sessions.model import Brief, Scenario, SceneDescription, Session
from sessions.readiness import check_described, check_ready
from sessions.store import DescriptionChanged, RequestKnown, Store
from sessions.viewer import EVERYTHING, Viewer

_log = structlog.get_logger(__name__)

#: how often an edit is laid over somebody else's before giving up
_EDIT_TRIES = 50


class Drafts:
    """Sessions and descriptions. ``close`` after use."""

    def __init__(self, *, store: Store, catalogue: Catalogue, writer: Writer, now: Clock) -> None:
        self._store = store
        self._catalogue = catalogue
        self._writer = writer
        self._now = now
        self._writing: dict[tuple[str, Scenario | None, str | None], asyncio.Task[Session]] = {}
        self._viewer = EVERYTHING

    def seen_by(self, viewer: Viewer) -> Drafts:
        """The same drafts, in which what ``viewer`` must not see is not there."""
        theirs = copy.copy(self)
        theirs._viewer = viewer  # noqa: SLF001 - a copy of this very object
        return theirs

    async def close(self) -> None:
        """End what is being written; nothing of it was shown."""
        tasks = list(self._writing.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def create_session(
        self,
        brief: Brief,
        descriptions: Sequence[SceneDescription] = (),
        request: KeyedRequest | None = None,
    ) -> Session:
        """A new session. Raises ``UnsupportedByModel`` if the model cannot do what is asked."""
        if request and request.subject:
            return await self.session(request.subject)
        self._catalogue.check_brief(brief)
        for description in descriptions:
            self._check(brief, description)
        now = self._now()
        session = Session(
            id=str(uuid.uuid4()),
            brief=brief,
            created_at=now,
            updated_at=now,
            owner=self._viewer.owner,
            descriptions={item.scenario: item for item in descriptions},
        )
        try:
            await self._store.create_session(session, request and replace(request, subject=session.id))
        except RequestKnown as repeated:
            return await self.session(repeated.known.led_to)
        _log.info("session.created", session=session.id, descriptions=len(descriptions))
        return await self.session(session.id)

    async def session_of(
        self, descriptions: Sequence[SceneDescription], scenarios: Sequence[Scenario]
    ) -> Session:
        """The session of a client that brings descriptions instead of naming one.

        The same descriptions lead to the same session, so that a double click joins its job; what
        is answered holds the descriptions as they were brought, whatever was edited since. Raises
        ``NotReady`` unless ``scenarios`` can be filmed from them.
        """
        brief = Brief(product="")
        for description in descriptions:
            self._check(brief, description)
        now = self._now()
        session = Session(
            id=_id_of(descriptions, self._viewer.owner),
            brief=brief,
            created_at=now,
            updated_at=now,
            owner=self._viewer.owner,
            descriptions={item.scenario: item for item in descriptions},
        )
        check_ready(session, scenarios)
        await self._store.create_session(session)
        return session

    async def session(self, session_id: str) -> Session:
        """Raises ``NotFound``."""
        session = await self._store.session(session_id, self._viewer)
        if session is None:
            raise NotFound("There is no such session", details={"session_id": session_id[:64]})
        return session

    async def sessions(self, *, limit: int, offset: int) -> tuple[list[Session], int]:
        """A page of sessions, newest first, and their number."""
        return await self._store.sessions(self._viewer, limit=limit, offset=offset)

    # ------------------------------------------------------------------ descriptions

    async def write_descriptions(self, session_id: str) -> Session:
        """Let the writer describe all four scenes anew; they await approval."""
        return await self._write_once(session_id, None, None)

    async def rewrite_description(self, session_id: str, scenario: Scenario, wish: str | None) -> Session:
        """Let the writer describe one scene anew, following ``wish``."""
        return await self._write_once(session_id, scenario, wish)

    async def edit_description(
        self, session_id: str, scenario: Scenario, changes: Mapping[str, Any]
    ) -> SceneDescription:
        """Change fields of a description. New content needs a new approval, given along or later."""
        for _ in range(_EDIT_TRIES):
            session = await self.session(session_id)
            old = session.descriptions.get(scenario, SceneDescription(scenario=scenario))
            new = replace(old, **changes)
            if "approved" not in changes and new != old:
                new = replace(new, approved=False)
            self._check(session.brief, new)
            with contextlib.suppress(DescriptionChanged):  # the same edit, then, of the newer text
                await self._store.save_descriptions(session_id, [new], self._now())
                return replace(new, version=new.version + 1)
        raise Conflict(f"The {scenario} scene is being edited by somebody else; try again")

    async def approve(self, session_id: str, scenarios: Sequence[Scenario]) -> Session:
        """Approve descriptions; raises ``NotReady`` naming those that are missing."""
        session = await self.session(session_id)
        check_described(session, scenarios)
        approved = [replace(session.descriptions[item], approved=True) for item in scenarios]
        for description in approved:
            self._catalogue.shot(session.brief, description)
        await self._save(session_id, approved)
        return await self.session(session_id)

    async def _save(self, session_id: str, descriptions: Sequence[SceneDescription]) -> None:
        """Write over what was read; what somebody has changed meanwhile stays as it is."""
        try:
            await self._store.save_descriptions(session_id, descriptions, self._now())
        except DescriptionChanged as changed:
            raise Conflict(
                f"The {changed.scenario} scene was edited meanwhile; read it, then ask again",
                details={"scenarios": [changed.scenario.value]},
            ) from None

    def _check(self, brief: Brief, description: SceneDescription) -> None:
        """Refuse what could never be generated; drafts may be empty, approved ones may not."""
        if description.complete:
            self._catalogue.shot(brief, description)
        elif description.approved:
            raise InvalidInput(
                f"The {description.scenario} scene has no description, so it cannot be approved",
                details={"field": "description", "scenario": description.scenario.value},
            )

    async def _write_once(self, session_id: str, scenario: Scenario | None, wish: str | None) -> Session:
        """A second press while the writer is at work joins it."""
        await self.session(session_id)
        key = (session_id, scenario, wish)
        task = self._writing.get(key)
        if task is None:
            task = asyncio.create_task(self._write(session_id, scenario, wish), name=f"write {session_id}")
            self._writing[key] = task
            task.add_done_callback(lambda _: self._writing.pop(key, None))
        return await asyncio.shield(task)

    async def _write(self, session_id: str, scenario: Scenario | None, wish: str | None) -> Session:
        session = await self.session(session_id)
        scenarios = tuple(Scenario) if scenario is None else (scenario,)
        versions = {item: found.version for item, found in session.descriptions.items()}
        texts = await self._writer.write(
            session.brief,
            scenarios,
            wish=wish,
            variant=max(versions.get(item, 0) for item in scenarios),
            longest=self._catalogue.model(session.brief.model)[1].prompt_limit,
        )
        written = [
            SceneDescription(scenario=item, description=texts[item], version=versions.get(item, 0))
            for item in scenarios
        ]
        for description in written:
            self._check(session.brief, description)
        await self._save(session_id, written)
        return await self.session(session_id)


def _id_of(descriptions: Sequence[SceneDescription], owner: str | None) -> str:
    """A UUID that follows from the content, and from whose it is."""
    content = repr((sorted(descriptions, key=lambda item: item.scenario), owner))
    return str(uuid.UUID(bytes=hashlib.sha256(content.encode()).digest()[:16], version=4))
