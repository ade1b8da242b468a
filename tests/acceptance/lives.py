"""The lives of a server in a chaos run: who orders what, what the provider does to it, and when it ends.

Everything random is drawn here, before anything happens: the order in which answers arrive changes
nothing of it.
"""

from __future__ import annotations

import io
import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from tests.acceptance.books import RUNNING
from tests.acceptance.customers import USERS
from tests.acceptance.orders import Api, Ending, Plan
from tests.house import SCENARIOS
from tests.wire.tasks import Json

#: how long the server waits for an answer of the provider
ACKNOWLEDGE_SECONDS = 3.0

#: what the provider does to a scene: how often out of 100, and one script for each time it is sent until
#: it is accepted
_FAULTS: dict[str, tuple[int, list[dict[str, Any]]]] = {
    "none": (36, [{}]),
    "acknowledgement lost": (6, [{"drop_after_accept": 1}]),
    "submission lost": (6, [{"drop_before_accept": 1}]),
    "acknowledgement late": (6, [{"ack_delay": 0.4}]),
    "too many requests": (
        6,
        [{"refuse_code": "providerRateLimitExceeded", "refuse_retry_after": 0.2}] * 2 + [{}],
    ),
    "no capacity": (5, [{"refuse_code": "noAvailableServer"}] * 2 + [{}]),
    "submission refused for trouble": (5, [{"refuse_code": "serviceUnavailable"}, {}]),
    "reads fail, 500": (4, [{"read_errors": 3}]),
    "reads fail, 503": (4, [{"read_errors": 3, "read_error_code": "serviceUnavailable"}]),
    "read late": (2, [{"read_delay": ACKNOWLEDGE_SECONDS + 0.5, "late_reads": 1}]),
    "file 500": (4, [{"files": [{"status": 500}] * 3 + [{}]}]),
    "file 503": (4, [{"files": [{"status": 503}] * 3 + [{}]}]),
    "file truncated": (4, [{"files": [{"truncate_to": 900}, {}]}]),
    "file reset": (4, [{"files": [{"reset_after": 700}, {}]}]),
    "file slow": (4, [{"files": [{"chunk_size": 4096, "chunk_delay": 0.05}]}]),
}

#: what the provider does to all connections, at most once in a life, and how often out of 100 lives
_BURSTS = {"none": 70, "sockets dropped": 15, "handshakes refused": 15}

#: where a life of the server ends: the instant the first jobs are answered; while their tasks are sent,
#: waited for, fetched; and while further jobs are being taken in
MOMENTS = ("acknowledged", "submitting", "waiting", "downloading", "intake")

#: by which APIs clips are ordered, and how often out of 100
_APIS: dict[Api, int] = {"video_jobs": 50, "credits": 30, "gallery": 20}

#: what customers do about an order that was answered, and how often out of 100
_ENDINGS: dict[Ending, int] = {"none": 70, "cancel": 20, "delete": 10}

#: how many of them are placed twice although they were answered ...
_TWICE = 0.25

#: ... and how many the provider ends without a video
_FAILING = 0.15

#: for so many lives three video jobs of one user are not finished by the provider
_HELD_LIVES = 10


@dataclass(frozen=True, kw_only=True)
class FourScenes:
    """A job of the scenes API."""

    user: str
    prompts: dict[str, str]  #: by scenario; unique among all


@dataclass(kw_only=True)
class Life:
    """What one life of the server gets to do."""

    group: int  #: of the clips that are held at the provider meanwhile
    moment: str  #: of ``MOMENTS``
    signal: signal.Signals
    burst: str  #: of what the provider does to all connections
    handshakes: tuple[int, int]  #: how many of them are refused in a burst, and with which status
    seen: int  #: tasks sent, reads or downloads, whichever the moment is about, before the late orders come
    heard: float  #: the part of the late requests that is answered before the end
    jobs: list[FourScenes] = field(default_factory=list)  #: answered before the end comes near
    late_jobs: list[FourScenes] = field(default_factory=list)  #: on their way in when it comes
    clips: list[Plan] = field(default_factory=list)  #: answered before the end comes near
    clips_behind: list[Plan] = field(default_factory=list)  #: ... and ordered after those of the same user
    late_clips: list[Plan] = field(default_factory=list)  #: on their way in when it comes
    scripts: dict[str, list[Json]] = field(default_factory=dict)  #: what the provider does to each prompt
    faults: list[str] = field(default_factory=list)  #: ... in words


def held_mark(group: int | None = None) -> str:
    """What the prompts of a group of held clips have in common; without ``group``, those of all."""
    return "held" if group is None else f"held-{group}-"


class Lives:
    """Draws them, one after the other."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def draw(self, kills: int, jobs: int) -> Iterator[Life]:
        """So many lives, in which together no fewer than so many jobs of four scenes are answered."""
        moments = [MOMENTS[number % len(MOMENTS)] for number in range(kills)]  # all kinds about equally often
        self._random.shuffle(moments)
        whole, rest = divmod(jobs, kills)
        for number, moment in enumerate(moments):
            yield self._life(number, moment, max(1, whole + (number < rest)))

    def _life(self, number: int, moment: str, share: int) -> Life:
        group, begins = divmod(number, _HELD_LIVES)
        [burst] = self._random.choices([*_BURSTS], [*_BURSTS.values()])
        life = Life(
            group=group,
            moment=moment,
            burst=burst,
            handshakes=(self._random.randint(1, 3), self._random.choice((500, 503))),
            signal=self._random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)),
            seen=self._random.randint(1, 4),
            heard=self._random.random(),
        )
        if begins == 0:
            self._hold(life)
        late = 4 if moment == "intake" else self._random.randint(0, 2)
        life.jobs = [self._job(life) for _ in range(share)]
        life.late_jobs = [self._job(life) for _ in range(late)]
        life.clips.append(self._clip(life))
        life.late_clips = [self._clip(life) for _ in range(self._random.randint(0, 2))]
        return life

    def _hold(self, life: Life) -> None:
        """As many clips of one user as run side by side, with which the provider takes its time.

        And two that must wait for them, so that somebody waits at every kill: one stays, with its
        picture, the other is cancelled or deleted.
        """
        user = USERS[life.group % len(USERS)]
        for _ in range(RUNNING):
            prompt = self._prompt(life, f"{user} {held_mark(life.group)}", hold=True)
            life.clips.append(Plan(api="video_jobs", user=user, prompt=prompt))
        stays, goes = self._prompt(life, f"{user} patient"), self._prompt(life, f"{user} impatient")
        ending: Ending = "cancel" if life.group % 2 else "delete"
        life.clips_behind = [
            Plan(api="video_jobs", user=user, prompt=stays, picture=_picture()),
            Plan(api="video_jobs", user=user, prompt=goes, ending=ending),
        ]

    def _job(self, life: Life) -> FourScenes:
        prompts = {name: self._prompt(life, name) for name in SCENARIOS}
        return FourScenes(user=self._random.choice(USERS), prompts=prompts)

    def _clip(self, life: Life) -> Plan:
        [api] = self._random.choices([*_APIS], [*_APIS.values()])
        [ending] = self._random.choices([*_ENDINGS], [*_ENDINGS.values()])
        user, fails = self._random.choice(USERS), self._random.random() < _FAILING
        twice = ending == "none" and self._random.random() < _TWICE
        prompt = self._prompt(life, f"{user} {api}", **({"fail_code": "providerError"} if fails else {}))
        return Plan(api=api, user=user, prompt=prompt, ending=ending, twice=twice, fails=fails)

    def _prompt(self, life: Life, words: str, **more: Any) -> str:
        """A prompt like no other, with its own fate at the provider."""
        prompt = f"{words} {self._random.getrandbits(64):016x}"
        [fault] = self._random.choices([*_FAULTS], [weight for weight, _ in _FAULTS.values()])
        seconds = self._random.uniform(0, 1.5)
        life.scripts[prompt] = [{"seconds": seconds, **script, **more} for script in _FAULTS[fault][1]]
        life.faults.append(fault)
        return prompt


def _picture() -> bytes:
    kept = io.BytesIO()
    Image.new("RGB", (128, 72), "orange").save(kept, "PNG")
    return kept.getvalue()
