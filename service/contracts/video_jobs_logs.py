"""The logs of video jobs: kept transitions in document 001's words, read once each.

A job is polled far more often than anything happens to it: its transitions stay in memory, and the
store is asked for further ones only when a scene has moved.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from service.live import LiveJob
from service.studio import Studio
from sessions.model import Event, EventKind, JobSnapshot, JobState, Scene, SceneState

Level = Literal["info", "success", "warning", "error"]

#: level and text of each kind
WORDS: Mapping[EventKind, tuple[Level, str]] = MappingProxyType(
    {
        EventKind.QUEUED: ("info", "📝 Job created"),
        EventKind.STARTED: ("info", "🚀 Starting video generation"),
        EventKind.SENT: ("info", "☁️  Calling Google Veo API..."),
        EventKind.GENERATED: ("info", "🎬 Video generated, downloading it"),
        EventKind.DOWNLOADED: ("info", "💾 Video saved"),
        EventKind.SUCCEEDED: ("success", "✅ Video generation completed successfully!"),
        EventKind.FAILED: ("error", "❌ Video generation failed"),
        EventKind.CANCELLED: ("warning", "🚫 Job cancelled by user"),
        EventKind.RETRIED: ("warning", "🔁 No video came, it is ordered again"),
        EventKind.RECONCILING: ("warning", "⏳ No verdict in time, the provider is asked now and then"),
        EventKind.KEPT: ("info", "💾 The video came although the job was cancelled, and is kept"),
        EventKind.GIVEN_UP: ("info", "🗑️ No video came after the cancel"),
    }
)

_RESUMED: tuple[Level, str] = ("info", "🔄 Video generation taken up again")
_PREVIEW: tuple[Level, str] = ("info", "🧪 Mock mode: a local preview stands in for the video")

#: these have a reason, in whoever's words it came
_REASONED = frozenset({EventKind.FAILED, EventKind.RETRIED})

#: jobs whose transitions are kept in memory; the store has them all
_KEPT = 2000


@dataclass(frozen=True, kw_only=True, eq=False)
class History:
    """A job's transitions as far as they are known."""

    moves: tuple[object, ...]  #: what was known of the scenes when they were read
    events: tuple[Event, ...]


class Histories:
    """Those of the jobs asked about last; the same object for as long as nothing has happened."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._known: OrderedDict[str, History] = OrderedDict()

    async def of(self, job: LiveJob) -> History:
        job_id, moves = job.snapshot.job.id, _moves(job.snapshot)
        known = self._known.get(job_id)
        if known is None or known.moves != moves:
            events = _of_untouched(job.snapshot)
            if events is None:
                before = tuple(event for event in known.events if event.seq) if known else ()
                news = await self._studio.events(job_id, before[-1].seq if before else 0)
                events = (*before, *news)
            known = self._known[job_id] = History(moves=moves, events=events)
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(job_id)
        return known


def _moves(snapshot: JobSnapshot) -> tuple[object, ...]:
    """What differs after every transition that is an event; progress alone is none."""
    return tuple((it.state, it.stage, it.attempt, it.tries, it.owed) for it in snapshot.scenes)


def _of_untouched(snapshot: JobSnapshot) -> tuple[Event, ...] | None:
    """All that has happened to a job that has only been ordered; None for any other.

    So an order that is on record is answered without another look at the store.
    """
    if any(scene.attempt for scene in snapshot.scenes):
        return None
    return tuple(
        Event(job_id=scene.job_id, scene_id=scene.id, kind=EventKind.QUEUED, at=scene.created_at)
        for scene in snapshot.scenes
    )


def log_lines(
    snapshot: JobSnapshot, events: Sequence[Event], *, reasons: bool = True
) -> list[dict[str, Any]]:
    """What has happened up to the snapshot; without ``reasons`` in fixed words only."""
    scenes = {scene.id: scene for scene in snapshot.scenes}
    lines = [
        {"timestamp": moment(event.at), "level": level, "message": text}
        for event in events
        if event.scene_id in scenes and event.at <= scenes[event.scene_id].updated_at
        for level, text in _said(event, scenes[event.scene_id], snapshot, reasons=reasons)
    ]
    job = snapshot.job
    if job.state is JobState.PARTIAL and job.finished_at:
        missing = sum(scene.state is not SceneState.SUCCEEDED for scene in snapshot.scenes)
        text = f"⚠️ {missing} of {len(scenes)} scenes have no video"
        lines.append({"timestamp": moment(job.finished_at), "level": "warning", "message": text})
    return lines


def _said(event: Event, scene: Scene, snapshot: JobSnapshot, *, reasons: bool) -> Iterator[tuple[Level, str]]:
    several = len(snapshot.scenes) > 1
    if event.kind is EventKind.QUEUED:
        if scene is snapshot.scenes[0]:  # with all others
            yield WORDS[event.kind]
        return
    again = event.kind is EventKind.STARTED and event.data.get("attempt", 1) > 1
    level, text = _RESUMED if again else WORDS[event.kind]
    whose = f" ({scene.name})" if several else ""
    reason = event.data.get("message") if reasons and event.kind in _REASONED else None
    yield level, f"{text}{whose}" + (f": {reason}" if reason else "")
    if event.kind is EventKind.SENT and scene.provider == "local":
        yield _PREVIEW[0], f"{_PREVIEW[1]}{whose}"


def moment(at: datetime) -> str:
    """ISO 8601 with a Z, to the second, as document 001 writes it."""
    return f"{at:%Y-%m-%dT%H:%M:%S}Z"
