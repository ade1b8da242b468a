"""Where finished videos are found, as each contract says it: a path on this server, or a whole address."""

from __future__ import annotations

import math

from aiohttp import web

from service.links import Links
from sessions.model import JobSnapshot, Scene, SceneState, Stage


class VideoAddresses:
    """Addresses of files; signed ones where ``links`` are given and the file is somebody's."""

    def __init__(self, links: Links | None, public_url: str) -> None:
        self._links = links
        self._public_url = public_url.rstrip("/")

    def path(self, file: str, owner: str | None) -> str:
        """The file's address on this server."""
        return self._links.path(file, owner) if self._links else f"/outputs/{file}"

    def of(self, scene: Scene, owner: str | None, base: str) -> str | None:
        """The whole address of the scene's video, at the delivery network if it has a copy; None without one.

        ``base`` is what ``base_of`` answers.
        """
        if not has_video(scene) or scene.file is None:
            return None
        return scene.mirror_url or base + self.path(scene.file, owner)

    def base_of(self, request: web.Request) -> str:
        """Under what address this server is known to the client."""
        return self._public_url or f"{request.scheme}://{request.host}"

    def good_for(self, snapshot: JobSnapshot) -> float:
        """Seconds until the addresses of the job's videos would be other ones."""
        signed = self._links is not None and snapshot.job.owner is not None
        return self._links.good_for() if self._links and signed else math.inf


def has_video(scene: Scene) -> bool:
    """Whether the scene has a video that can be fetched; one that was cancelled may have one too."""
    return (scene.state is SceneState.SUCCEEDED or scene.stage is Stage.COMPLETE) and scene.removed_at is None
