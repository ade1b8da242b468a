"""Any job through any contract: every state of a job, in the words of each of them.

``dialects.json`` holds the whole answers; ``WORDS`` what matters most of them, to be read by people.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.house import House, open_house, settings_for
from tests.service.contracts.gallery_kit import database_of, made
from tests.service.contracts.golden_gallery import BASE, GOLDEN
from tests.service.contracts.test_identity import ON, as_user

ANSWERS: Mapping[str, Mapping[str, Any]] = json.loads(
    Path(__file__).with_name("dialects.json").read_text(encoding="utf-8")
)

#: where each contract tells how a job is
ADDRESSES = {
    "gallery": "/api/video/generate?videoId={job_id}",
    "video_jobs": "/api/v1/video-jobs/{job_id}",
    "download": "/api/v1/video-jobs/{job_id}/download",
    "scenes": "/api/videos/status/{job_id}",
    "credits": "/videos/jobs/{job_id}/status",
    "result": "/videos/jobs/{job_id}/result",
}

#: the key under which each contract says the state
STATUS = {"gallery": "status", "video_jobs": "status", "scenes": "overall_status", "credits": "status"}

#: state -> what the gallery, video jobs, scenes and credits contracts call it; None: it is not there
WORDS: Mapping[str, tuple[str | None, str | None, str | None, str | None]] = {
    "queued": ("PROCESSING", "PENDING", "generating", "queued"),
    "starting": ("PROCESSING", "RUNNING", "generating", "starting"),
    "running": ("PROCESSING", "RUNNING", "generating", "processing"),
    "half way": ("PROCESSING", "RUNNING", "generating", "processing"),
    "reconciling": ("PROCESSING", "RUNNING", "generating", "processing"),
    "generated": ("PROCESSING", "RUNNING", "generating", "processing"),
    "downloaded": ("PROCESSING", "RUNNING", "generating", "processing"),
    "put back into the queue": ("PROCESSING", "PENDING", "generating", "queued"),
    "ordered anew": ("PROCESSING", "PENDING", "generating", "queued"),
    "succeeded": ("SUCCEEDED", "SUCCEEDED", "completed", "completed"),
    "expired": (None, "SUCCEEDED", "completed", None),
    "failed": ("FAILED", "FAILED", "failed", "failed"),
    "failed half way": ("FAILED", "FAILED", "failed", "failed"),
    "cancelled": ("FAILED", "CANCELLED", "failed", "cancelled"),
    "cancelled, still owed": ("FAILED", "CANCELLED", "failed", "cancelled"),
    "cancelled, given up": ("FAILED", "CANCELLED", "failed", "cancelled"),
    "cancelled, video kept": ("FAILED", "CANCELLED", "failed", "cancelled"),
    "cancelled, video removed": (None, "CANCELLED", "failed", None),
    "four queued": ("PROCESSING", "PENDING", "generating", "queued"),
    "four running": ("PROCESSING", "RUNNING", "generating", "processing"),
    "four, one made": ("PROCESSING", "RUNNING", "generating", "processing"),
    "four, one failed": ("PROCESSING", "RUNNING", "generating", "processing"),
    "four made": ("SUCCEEDED", "SUCCEEDED", "completed", "completed"),
    "four made, first removed": ("SUCCEEDED", "SUCCEEDED", "completed", "completed"),
    "four made, all removed": (None, "SUCCEEDED", "completed", None),
    "partial": ("SUCCEEDED", "SUCCEEDED", "partial", "completed"),
    "partial, video removed": (None, "SUCCEEDED", "partial", None),
    "four failed": ("FAILED", "FAILED", "failed", "failed"),
    "four failed or cancelled": ("FAILED", "FAILED", "failed", "failed"),
    "four cancelled": ("FAILED", "CANCELLED", "failed", "cancelled"),
}

_TAKE = re.compile(r'"id": ?"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"')


async def said(house: House, job_id: str) -> dict[str, Any]:
    """What each contract answers, without what is made up anew each time."""
    found = {}
    for contract, address in ADDRESSES.items():
        answer = await house.get(address.format(job_id=job_id), allow_redirects=False)
        text = json.dumps(answer.json).replace(job_id, "the job")
        body = json.loads(_TAKE.sub('"id": "a take"', text))
        found[contract] = {"status": answer.status, "body": body, "location": answer.headers.get("Location")}
    return found


@pytest.mark.parametrize("state", GOLDEN)
async def test_every_state_in_every_contract(tmp_path: Path, state: str) -> None:
    async with open_house(settings_for(tmp_path, {"server": {"public_url": BASE}})) as house:
        snapshot = await made(database_of(house), GOLDEN[state])
        assert await said(house, snapshot.job.id) == ANSWERS[state]


@pytest.mark.parametrize("state", GOLDEN)
def test_every_state_has_its_word(state: str) -> None:
    answers = ANSWERS[state]
    words = [
        answers[contract]["body"][key] if answers[contract]["status"] == 200 else None
        for contract, key in STATUS.items()
    ]
    assert tuple(words) == WORDS[state]
    assert all(answers[contract]["status"] in (200, 404) for contract in STATUS)


def test_nothing_is_left_over() -> None:
    assert set(ANSWERS) == set(WORDS) == set(GOLDEN)


@pytest.mark.parametrize("state", ["queued", "running", "succeeded", "partial", "cancelled"])
async def test_other_users_find_nothing_through_any_contract(tmp_path: Path, state: str) -> None:
    async with open_house(settings_for(tmp_path, ON)) as house:
        snapshot = await made(database_of(house), GOLDEN[state], owner="ann")
        for address in ADDRESSES.values():
            path = address.format(job_id=snapshot.job.id)
            own = await house.get(path, headers=as_user("ann"), allow_redirects=False)
            assert own.status in (200, 302, 400), (path, own.body)
            assert (await house.get(path, headers=as_user("bob"), allow_redirects=False)).status == 404
