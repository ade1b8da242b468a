"""Each scene is made by the provider it was ordered from."""

from __future__ import annotations

from collections.abc import Mapping

from service.recipes.clip import ClipRecipe
from service.recipes.track import Track


class ByProvider:
    """The recipes of those providers that this process can use."""

    def __init__(self, recipes: Mapping[str, ClipRecipe]) -> None:
        self._recipes = recipes
        self._any = next(iter(recipes.values()))

    async def make(self, track: Track) -> None:
        """See ``ClipRecipe.make``, which parks what another configuration has to finish."""
        await self._recipes.get(track.scene.provider, self._any).make(track)
