"""Who may call a route, and who is calling."""

from __future__ import annotations

from enum import Enum, auto

from aiohttp import web

from service.auth import Caller, Identity
from sessions.api_keys import Scope
from sessions.errors import Forbidden, Unauthenticated
from sessions.viewer import EVERYTHING, Viewer

_CALLER = web.RequestKey("caller", Caller)
_VIEWER = web.RequestKey("viewer", Viewer)

#: what an unasked cookie is not: shown on purpose, so that a bad one is an error everywhere
_CREDENTIALS = ("Authorization", "X-API-Key")


class Access(Enum):
    """What a route wants to be shown, where identity is on."""

    PUBLIC = auto()  #: nothing, and nothing is looked at
    OPEN = auto()  #: nothing; whoever shows who they are gets what is theirs
    KNOWN = auto()  #: a valid token or API key
    ADMIN = auto()  #: an API key of whoever looks after the service


class Doorkeeper:
    """Finds out who is calling before a handler does anything."""

    def __init__(self, identity: Identity | None) -> None:
        self._identity = identity

    def asks(self, access: Access) -> bool:
        """Whether somebody has to be admitted at all."""
        return self._identity is not None and access is not Access.PUBLIC

    async def admit(self, request: web.Request, access: Access) -> None:
        """Put caller and viewer on the request.

        Raises ``Unauthenticated``, ``Forbidden`` or ``IdentityUnavailable``.
        """
        assert self._identity is not None, "asked only where identity is on"
        caller = await self._caller(self._identity, request, access)
        if caller is None:
            request[_VIEWER] = Viewer()
            return
        if access is Access.ADMIN and Scope.ADMIN not in caller.scopes:
            raise Forbidden("This takes an API key with the scope admin")
        if access is not Access.ADMIN and Scope.SCENES not in caller.scopes:
            raise Forbidden("This API key is not for making or reading scenes")
        request[_CALLER] = caller
        request[_VIEWER] = Viewer(owner=caller.id)

    async def _caller(self, identity: Identity, request: web.Request, access: Access) -> Caller | None:
        try:
            caller = await identity.caller(request.headers, request.cookies)
        except Unauthenticated:
            # A browser goes on sending a cookie that has expired; that locks nobody out of what is open.
            if access is Access.OPEN and not any(name in request.headers for name in _CREDENTIALS):
                return None
            raise
        if caller is None and access is not Access.OPEN:
            raise Unauthenticated("Show who you are: Authorization: Bearer, with a token or an API key")
        return caller


def viewer_of(request: web.Request) -> Viewer:
    """Whose eyes the request is looked at with; everything, where nobody had to say who they are."""
    viewer = request.get(_VIEWER)
    return EVERYTHING if viewer is None else viewer


def caller_of(request: web.Request) -> str:
    """The caller's id; empty for somebody unknown."""
    caller = request.get(_CALLER)
    return caller.id if caller else ""


def scopes_of(request: web.Request) -> frozenset[Scope]:
    """What the caller may do; nothing in particular, for somebody unknown."""
    caller = request.get(_CALLER)
    return caller.scopes if caller else frozenset()


def acting(request: web.Request, user_id: str | None) -> Viewer:
    """Whose eyes the request is looked at with, where clients name the user for whom they ask.

    What they say counts only where identity is off; with it, the credentials do.
    """
    viewer = viewer_of(request)
    return Viewer(owner=user_id) if viewer is EVERYTHING and user_id else viewer
