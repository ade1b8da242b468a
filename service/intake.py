"""Images that clients hand in, or name by address: checked, written anew, and kept for the providers."""

from __future__ import annotations

from service.fetching import ImageFetcher
from service.media.images import ImageCleaner
from service.storage.uploads import Uploads


class ImageIntake:
    """Answers the names under which ``Frames`` refer to what is kept."""

    def __init__(self, *, cleaner: ImageCleaner, fetcher: ImageFetcher, uploads: Uploads) -> None:
        self._cleaner = cleaner
        self._fetcher = fetcher
        self._uploads = uploads

    async def take(self, data: bytes) -> str:
        """An uploaded image. Raises ``BadImage``."""
        return await self._uploads.keep((await self._cleaner.cleaned(data)).data)

    async def fetch(self, url: str) -> str:
        """An image at a public address. Raises ``FetchRefused`` or ``BadImage``."""
        return await self.take(await self._fetcher.fetch(url))
