"""What a test can make the provider do with one prompt, and with the file of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

HTML_PAGE = b"<!doctype html><html><body><h1>Sorry</h1></body></html>"


@dataclass(frozen=True, kw_only=True)
class FileReply:
    """How one download of a finished video is answered."""

    #: HTTP status; anything but 200 is sent with `body` or an empty one
    status: int = 200
    #: sent instead of the video
    body: bytes | None = None
    content_type: str = "video/mp4"
    #: extra headers, e.g. Location or Retry-After
    headers: Mapping[str, str] = field(default_factory=dict)
    #: only so many bytes are sent, and Content-Length honestly says so
    truncate_to: int | None = None
    #: Content-Length says this instead; when it promises too much the connection is closed at the end
    declare: int | None = None
    #: no Content-Length: chunked transfer encoding
    chunked: bool = False
    #: the connection is reset after so many bytes; Content-Length promised everything
    reset_after: int | None = None
    chunk_size: int = 64 * 1024
    #: seconds before every chunk
    chunk_delay: float = 0.0
    #: False: a Range header is ignored and everything is sent
    ranges: bool = True

    @classmethod
    def page(cls) -> FileReply:
        """A web page with status 200 where a video should be."""
        return cls(body=HTML_PAGE, content_type="text/html; charset=utf-8")


@dataclass(frozen=True, kw_only=True)
class Script:
    """What happens to one submission."""

    #: from acceptance until the task is finished
    seconds: float = 0.0
    #: the task is processing until `release()`
    hold: bool = False
    #: the task never finishes, not even by `release()`
    never: bool = False

    #: provider failure instead of a video, after `seconds`
    fail_code: str | None = None
    fail_message: str = "The provider could not finish this task."

    #: error instead of an acknowledgement; not charged
    refuse_code: str | None = None
    refuse_message: str = "The request was refused."
    refuse_parameter: str | None = None
    #: seconds, sent as `retryAfter`
    refuse_retry_after: float | None = None

    #: so often the submission is lost with the connection: neither accepted nor charged
    drop_before_accept: int = 0
    #: so often the connection is aborted instead of the answer, although the task was accepted and charged
    drop_after_accept: int = 0
    #: seconds before the acknowledgement is sent; the task is accepted and charged at once
    ack_delay: float = 0.0
    #: seconds before each answer to getResponse
    read_delay: float = 0.0
    #: only so many of the first answers are delayed
    late_reads: int | None = None
    #: so many of the first reads are answered with `read_error_code` instead, about the read and not the task
    read_errors: int = 0
    read_error_code: str = "internalServerError"

    #: running items carry `progress`
    progress: bool = False
    #: `status` of a running item
    running_status: str = "processing"
    #: running items carry `videoUUID` already
    early_video_uuid: bool = False
    #: a running task is answered with `data: []`
    empty_while_running: bool = False
    #: the finished item has no `status`
    bare_result: bool = False

    #: USD; sent only if the submission says `includeCost`
    cost: float = 0.18
    #: `videoURL`, instead of the one on this server
    video_url: str | None = None
    #: one per download of the video; the last one repeats
    files: Sequence[FileReply] = (FileReply(),)

    #: so often the callback to `webhookURL` is sent, at once and each with tries of its own
    webhook_copies: int = 1
    #: the callback is never sent
    webhook_lost: bool = False

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Script:
        """The same field names; `files` is a list of objects, and a `body` in it is text."""
        values = dict(fields)
        if "files" in values:
            values["files"] = tuple(_file_reply(reply) for reply in values["files"])
        return cls(**values)


def _file_reply(fields: Mapping[str, Any]) -> FileReply:
    values = dict(fields)
    if values.get("body") is not None:
        values["body"] = str(values["body"]).encode()
    return FileReply(**values)


class Playbook:
    """Chooses the script of a submission by its prompt.

    The rule added last is asked first. A rule with several scripts gives one to each
    task in turn and repeats the last; a submission sent again keeps its script,
    unless it was refused.
    """

    def __init__(self) -> None:
        self.default = Script()
        self._rules: list[tuple[str, Iterator[Script]]] = []
        self._chosen: dict[str, Script] = {}

    def add(self, substring: str, scripts: Sequence[Script]) -> None:
        self._rules.insert(0, (substring, _repeating_last(scripts)))

    def choose(self, task_uuid: str, prompt: str) -> Script:
        if task_uuid not in self._chosen:
            self._chosen[task_uuid] = self._next(prompt)
        return self._chosen[task_uuid]

    def forget(self, task_uuid: str) -> None:
        self._chosen.pop(task_uuid, None)

    def _next(self, prompt: str) -> Script:
        for substring, scripts in self._rules:
            if substring in prompt:
                return next(scripts)
        return self.default


def _repeating_last(scripts: Sequence[Script]) -> Iterator[Script]:
    if not scripts:
        raise ValueError("a rule needs a script")
    yield from scripts
    while True:
        yield scripts[-1]
