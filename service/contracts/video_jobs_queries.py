"""What clients of the video jobs contract say in addresses: which job, which part of the list, for whom."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from aiohttp import web

from service.contracts.video_jobs_bodies import user_named
from sessions.errors import InvalidInput, NotFound
from sessions.model import JobState

#: the states that each filter of the list stands for
FILTERS: Mapping[str, Collection[JobState]] = MappingProxyType(
    {
        "PENDING": {JobState.QUEUED},
        "RUNNING": {JobState.RUNNING},
        "SUCCEEDED": {JobState.SUCCEEDED, JobState.PARTIAL},
        "FAILED": {JobState.FAILED},
        "CANCELLED": {JobState.CANCELLED},
    }
)

#: jobs on one page of the list; who asks for more than the most gets the most
_PAGE, _LARGEST_PAGE = 50, 100

#: more digits than any number that is asked for
_DIGITS = 9

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, kw_only=True)
class Page:
    """What part of the list is asked for."""

    states: Collection[JobState]
    limit: int
    offset: int


def read_page(query: Mapping[str, str]) -> Page:
    """The query of the list; ``skip`` is another word for ``offset``. Raises ``InvalidInput``."""
    wanted = query.get("status_filter", "").upper()
    if wanted and wanted not in FILTERS:
        raise InvalidInput(
            f"status_filter must be one of {', '.join(FILTERS)}", details={"field": "status_filter"}
        )
    return Page(
        states=FILTERS[wanted] if wanted else frozenset(JobState),
        limit=min(_whole(query, "limit", _PAGE), _LARGEST_PAGE),
        offset=_whole(query, "offset", _whole(query, "skip", 0)),
    )


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise InvalidInput(
            f"{name} must be a whole number of at most {_DIGITS} digits", details={"field": name}
        )
    return int(text)


def asking_for(query: Mapping[str, str]) -> str | None:
    """For whom a client asks where nobody has to show who they are. Raises ``InvalidInput``."""
    try:
        return user_named(query.get("user_id"))
    except ValueError as error:
        raise InvalidInput(f"user_id {error}", details={"field": "user_id"}) from None


def job_id_of(request: web.Request) -> str:
    """The id in the path. Raises ``NotFound`` for what is no id at all."""
    job_id = request.match_info["jobId"].lower()
    if not _UUID.fullmatch(job_id):
        raise NotFound("Job not found")
    return job_id
