"""Orders of the chaos run, and how each API wants them to be placed, ended and looked at."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import Literal

from tests.house import Answer

Api = Literal["video_jobs", "credits", "gallery"]

#: what customers do about an order once it is answered
Ending = Literal["none", "cancel", "delete"]

#: where orders are placed
_PATHS: Mapping[Api, str] = MappingProxyType(
    {"video_jobs": "/api/v1/video-jobs", "credits": "/videos/generate", "gallery": "/api/video/generate"}
)

#: where the answer to an order names its job
_ID_FIELDS: Mapping[Api, str] = MappingProxyType(
    {"video_jobs": "id", "credits": "job_id", "gallery": "videoId"}
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One order, and what is to be done about it."""

    api: Api
    user: str
    prompt: str  #: unique among all
    ending: Ending = "none"
    twice: bool = False  #: whether it is placed again although it was answered
    fails: bool = False  #: whether the provider ends it without a video
    picture: bytes = field(default=b"", repr=False)  #: what the video begins with; video jobs only


@dataclass
class Order:
    """What has become of a plan."""

    plan: Plan
    job_id: str = ""  #: as it was first answered; empty until then
    end_tries: int = 0  #: how often its ending was asked for
    end_status: int = 0  #: HTTP status of the answer to that; 0 until there is one

    @property
    def ends(self) -> bool:
        """Whether its ending is still to be asked for."""
        return self.plan.ending != "none" and not self.end_status

    @property
    def possible(self) -> frozenset[str]:
        """The states in which it may be when everything is over; of what was deleted there is none."""
        states = {"failed" if self.plan.fails else "completed"}
        if self.end_status == HTTPStatus.OK:
            states = {"cancelled"}
        elif self.end_status == HTTPStatus.CONFLICT and self.end_tries > 1:
            states |= {"cancelled"}  # perhaps by a request that was not answered
        elif self.end_status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND):
            states = {"deleted"}
        return frozenset(states)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a customer sends."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def placing(plan: Plan) -> Request:
    """An order, with the same key each time."""
    body, content_type = _body(plan)
    headers = {"Content-Type": content_type, "Idempotency-Key": plan.prompt.replace(" ", "-")}
    return Request(method="POST", path=_PATHS[plan.api], body=body, headers=headers)


def job_in(plan: Plan, answer: Answer) -> str:
    """The id of the job that the answer to an order names."""
    return str(answer.json[_ID_FIELDS[plan.api]])


def ending(order: Order) -> Request:
    """What ends an order; the gallery has no way of its own, nor has any but one to delete a job."""
    if order.plan.ending == "delete":
        return Request(method="DELETE", path=f"/api/v1/video-jobs/{order.job_id}")
    method, path = {
        "video_jobs": ("POST", f"/api/v1/video-jobs/{order.job_id}/cancel"),
        "credits": ("DELETE", f"/videos/jobs/{order.job_id}"),
        "gallery": ("POST", f"/api/videos/cancel/{order.job_id}"),
    }[order.plan.api]
    return Request(method=method, path=path)


def looking(order: Order) -> Request:
    """What asks how an order is."""
    path = {
        "video_jobs": f"/api/v1/video-jobs/{order.job_id}",
        "credits": f"/videos/jobs/{order.job_id}/status",
        "gallery": f"/api/video/generate?videoId={order.job_id}",
    }[order.plan.api]
    return Request(method="GET", path=path)


def state_in(answer: Answer) -> str:
    """How an order is, in one vocabulary for all APIs."""
    if answer.status == HTTPStatus.NOT_FOUND:
        return "deleted"
    if answer.status != HTTPStatus.OK:
        return f"{answer.status} {answer.body[:300]!r}"
    if answer.json.get("errorMessage") == "Cancelled by user":
        return "cancelled"  # for which the gallery has no other word
    word = str(answer.json["status"]).lower()
    return "completed" if word == "succeeded" else word


def _body(plan: Plan) -> tuple[bytes, str]:
    """Content and content type of an order."""
    if plan.api != "video_jobs":
        return json.dumps({"prompt": plan.prompt}).encode(), "application/json"
    fields = {
        "prompt": plan.prompt,
        "model": "veo-3.1-fast-generate-preview",
        "resolution": "720p",
        "aspectRatio": "16:9",
        "durationSeconds": "4",
        "mockMode": "false",
    }
    parts = [(f'name="{name}"', value.encode()) for name, value in fields.items()]
    if plan.picture:
        parts.append(('name="initialImage"; filename="first.png"\r\nContent-Type: image/png', plan.picture))
    boundary = uuid.uuid4().hex  # another one each time, as browsers do
    begin = f"--{boundary}\r\nContent-Disposition: form-data; "
    form = b"".join(f"{begin}{about}\r\n\r\n".encode() + content + b"\r\n" for about, content in parts)
    return form + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
