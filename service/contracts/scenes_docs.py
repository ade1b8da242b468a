"""What the scenes contract says of its sessions and descriptions; ``scenes_videos_docs`` has the rest."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from service.contracts import scenes_bodies as bodies
from service.contracts import scenes_examples as examples
from service.contracts import scenes_replies as replies
from service.contracts.describing import Doc, Param, Reply, Tag
from sessions.model import Scenario

SESSIONS = Tag(
    name="Scenes: sessions",
    description=(
        "A session holds a brief, one description for each of the four scenes (`hook`, `problem`, "
        "`solution`, `cta`) and the videos made from them. Create it, write the descriptions or let them be "
        "written, approve them, then generate (next chapter). Whoever knows the id of a session that was "
        "made without credentials may use it; what a known caller makes is theirs alone."
    ),
)


class Page(BaseModel):
    """Which part of a list."""

    limit: Annotated[int, Field(ge=0, le=200, description="How many at most")] = 50
    offset: Annotated[int, Field(ge=0, le=10**9, description="How many to leave out first")] = 0


NO_SESSION = "There is no such session, or it is somebody else's"
BAD_BODY = "The body is not valid JSON"
NO_JSON = "The body does not come as `application/json`"
INVALID = (
    "The body does not fit, or the model cannot do what it asks; `detail` names the fields. "
    "With an `Idempotency-Key`: it was used for another request"
)
SESSION_PATH = {"session_id": Param("As answered when it was created", {"type": "string", "maxLength": 64})}
SCENE_PATH = {
    **SESSION_PATH,
    "scenario": Param("Which of the four", {"type": "string", "enum": [it.value for it in Scenario]}),
}
_SCENE = {"success": True, "session_id": examples.SESSION_ID, "scene": examples.described("hook")}
_EDITED = "It was edited by somebody else meanwhile; read it, then ask again"
_WRITER_FAILED = "The writer gave nothing usable; try again, or write the descriptions yourself"


def _session(description: str, example: str, **kind: bool) -> Reply:
    return Reply(
        description,
        model=replies.SessionView,
        examples={example: examples.session(**kind)},
    )


CREATE_SESSION = Doc(
    operation_id="createSession",
    summary="Create a session from a brief, with or without scene descriptions",
    description=(
        "Give `product`, or `scene_descriptions`, or both. `scene_descriptions` (also understood as `scenes` "
        "or `descriptions`) is a list whose items name their scenario, or an object keyed by scenario, whose "
        "values may be plain texts. Unset fields of the brief are decided by the model."
    ),
    tag=SESSIONS,
    body=bodies.NewSession,
    body_examples={
        "A brief": examples.BRIEF,
        "A description that is written already": {
            "product": "Lumo",
            "scene_descriptions": [{"scenario": "hook", "description": "A lamp wakes up", "duration": 5}],
        },
    },
    replies={
        200: _session("The session", "Fresh", described_yet=False),
        400: BAD_BODY,
        415: NO_JSON,
        422: INVALID,
    },
)

LIST_SESSIONS = Doc(
    operation_id="listSessions",
    summary="List sessions, newest first",
    description="Where identity is on: the caller's own, or for somebody unknown none.",
    tag=SESSIONS,
    query=Page,
    replies={
        200: Reply("One page", model=replies.SessionList, examples={"One": examples.SESSION_LIST}),
        400: "limit must be a whole number from 0 to 200",
    },
)

GET_SESSION = Doc(
    operation_id="getSession",
    summary="Read a session: brief, descriptions, chosen videos, all takes, jobs",
    description="`scene_videos` changes by itself whenever a scene is finished.",
    tag=SESSIONS,
    path=SESSION_PATH,
    replies={200: _session("The session", "With a video", done=True), 404: NO_SESSION},
)

EDIT_DESCRIPTION = Doc(
    operation_id="editDescription",
    summary="Change fields of one scene's description",
    description=(
        "What is given changes, the rest stays. New content needs a new approval, given along or later."
    ),
    tag=SESSIONS,
    path=SCENE_PATH,
    body=bodies.SceneEdit,
    body_examples={
        "Text": {"description": "The lamp wakes up and yawns"},
        "Details, approved at once": {"camera_work": "Handheld", "duration": 5, "approved": True},
    },
    replies={
        200: Reply("As it is now", model=replies.SceneChanged, examples={"Changed": _SCENE}),
        400: BAD_BODY,
        404: NO_SESSION,
        409: _EDITED,
        415: NO_JSON,
        422: INVALID,
    },
)

APPROVE_ALL = Doc(
    operation_id="approveDescriptions",
    summary="Approve all four descriptions",
    tag=SESSIONS,
    path=SESSION_PATH,
    replies={
        200: _session("The session", "Approved", done=True),
        400: "Descriptions are missing; `detail` names their scenarios",
        404: NO_SESSION,
        409: _EDITED,
        422: "The model cannot film one of them",
    },
)

APPROVE_ONE = Doc(
    operation_id="approveDescription",
    summary="Approve one description",
    tag=SESSIONS,
    path=SCENE_PATH,
    replies={
        200: Reply("As it is now", model=replies.SceneChanged, examples={"Approved": _SCENE}),
        400: "The description is missing, or there is no such scenario",
        404: NO_SESSION,
        409: _EDITED,
        422: "The model cannot film it",
    },
)

WRITE_DESCRIPTIONS = Doc(
    operation_id="writeDescriptions",
    summary="Let all four descriptions be written from the brief",
    description="Replaces what is there; the new ones await approval. A second press joins the first.",
    tag=SESSIONS,
    body=bodies.SessionReference,
    body_examples={"A session": {"session_id": examples.SESSION_ID}},
    replies={
        200: _session("The session", "Written"),
        400: BAD_BODY,
        404: NO_SESSION,
        409: _EDITED,
        415: NO_JSON,
        422: INVALID,
        500: _WRITER_FAILED,
    },
)

REWRITE_DESCRIPTION = Doc(
    operation_id="rewriteDescription",
    summary="Let one description be written anew, following a wish",
    tag=SESSIONS,
    body=bodies.RewriteDescription,
    body_examples={
        "With a wish": {"session_id": examples.SESSION_ID, "scenario": "hook", "instructions": "More humour"}
    },
    replies={
        200: Reply("As it is now", model=replies.SceneChanged, examples={"Written": _SCENE}),
        400: BAD_BODY,
        404: NO_SESSION,
        409: _EDITED,
        415: NO_JSON,
        422: INVALID,
        500: _WRITER_FAILED,
    },
)
