"""Requests made up from the API's description (https://schemathesis.io), and whether the answers keep to it.

Every operation meets its own examples, the limits of everything it takes, and random requests, right and
wrong ones; the same in every run. Once for a server that asks nobody who they are, and once for one that
does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis import Case
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.schemas import BaseSchema

from tests.acceptance.made_up import Served, described, served
from tests.acceptance.mended import mended, operation_of
from tests.house import House

#: what else may become of a request as the description has it: not enough credit, no such thing, too late,
#: not now; all of it is described
_STATES = ["2xx", "3xx", "401", "402", "403", "404", "409", "429"]

#: their addresses are those of other operations too: what `/videos/stats` allows is also what
#: `/videos/{id}` does
_SHARED = [
    "createSession",
    "generateVideo",
    "animateImage",
    "listActiveJobs",
    "getStats",
    "getCredits",
    "grantCredits",
]

_REFUSED = 400

#: needs the secret of a task at a provider that calls back, and there is none
_UNREACHABLE = {"reportTask"}

_ADMIN = {"grantCredits", "getAccount"}


def _schema(*, identity: bool, examples: int) -> BaseSchema:
    """What is to be asked, so many random requests for each operation."""
    config = {
        "suppress-health-check": ["all"],  # they judge how fast this machine is
        "generation": {
            "deterministic": True,
            "database": "none",
            "max-examples": examples,
            "no-shrink": True,  # what it does is not undone, so the same request may be answered differently
            "allow-x00": False,  # no text takes it, and the description would have to say so everywhere
            "with-security-parameters": False,  # shown are real credentials
        },
        "checks": {"positive_data_acceptance": {"expected-statuses": _STATES}},
        "phases": {
            # What is wrong at the limits is refused by the same code, whoever asks.
            "coverage": {"generation": {"mode": "positive" if identity else "all"}},
            # In a chain it matters what has been done before; the other phases have each request alone.
            "stateful": {"checks": {"positive_data_acceptance": {"enabled": False}}},
        },
        "operations": [
            {
                "include-operation-id": _SHARED,
                "checks": {"allow_header_conformance": {"enabled": False}},
            },
            {
                # DELETE of it is that of a job called "all", which there is not: 404 and not 405
                "include-operation-id": "getVideoMonitor",
                "checks": {
                    "allow_header_conformance": {"enabled": False},
                    "unsupported_method": {"enabled": False},
                },
            },
            {
                # DELETE of a job cancels it, and that can be read
                "include-operation-id": ["getCreditJobStatus", "getCreditJobResult"],
                "checks": {"use_after_free": {"enabled": False}},
            },
        ],
    }
    document = described(identity=identity)
    return schemathesis.openapi.from_dict(document, config=SchemathesisConfig.from_dict(config))


#: so many times so many chains of so many requests
_CHAINS = 10
_CHAIN = settings(
    max_examples=5,
    stateful_step_count=6,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)

OPEN = _schema(identity=False, examples=40)
CLOSED = _schema(identity=True, examples=10)

#: the statuses of each operation's answers, by the name of the server
_Answers = defaultdict[tuple[str, str], set[int]]


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("made_up"), identity=request.param == "identity on") as found:
        yield found


@pytest.fixture(scope="module")
def answers() -> _Answers:
    return defaultdict(set)


def _how(case: Case[Any], server: Served) -> dict[str, Any]:
    """How the request is sent."""
    operation = operation_of(case)
    headers = dict(server.admin if operation in _ADMIN else server.user)
    if operation == "regenerateScene":
        headers["Prefer"] = "respond-async"  # else the answer waits for a video
    return {"base_url": server.address, "headers": headers, "allow_redirects": False, "timeout": 60}


def _ask(case: Case[Any], server: Served) -> int:
    """The status of the answer, which is as the description has it."""
    mended(case, server.known)
    return case.call_and_validate(**_how(case, server)).status_code


@OPEN.parametrize()
@pytest.mark.parametrize("server", ["identity off"], indirect=True)
def test_answers_are_as_described(case: Case[Any], server: Served, answers: _Answers) -> None:
    answers["off", operation_of(case)].add(_ask(case, server))


@CLOSED.parametrize()
@pytest.mark.parametrize("server", ["identity on"], indirect=True)
def test_answers_are_as_described_with_identity(case: Case[Any], server: Served, answers: _Answers) -> None:
    answers["on", operation_of(case)].add(_ask(case, server))


@pytest.mark.parametrize("server", ["identity on"], indirect=True)
def test_chains_of_requests_are_answered_as_described(server: Served) -> None:
    """Ids of an answer go into further requests: what was made is there, and what was deleted is not.

    They are others in every run, so that a chain is never the same again, as Hypothesis would have it. It
    is not told of failures, which it would want to see again, and chains that differ too much are let go.
    """
    failures: list[str] = []

    class Chain(CLOSED.as_state_machine()):  # type: ignore[misc] # made from the description
        def before_call(self, case: Case[Any]) -> None:
            case.query.pop("user_id", None)  # all are of the same user
            mended(case, {})

        def get_call_kwargs(self, case: Case[Any]) -> dict[str, Any]:
            return _how(case, server)

        def validate_response(self, *about: Any, **how: Any) -> None:
            try:
                super().validate_response(*about, **how)
            except FailureGroup as found:
                failures.append(str(found))

    for number in range(_CHAINS):
        with suppress(FlakyStrategyDefinition):
            seed(number)(Chain).run(settings=_CHAIN)
    assert not failures, "\n\n".join(failures)


@pytest.mark.parametrize(
    ("identity", "test"),
    [("off", test_answers_are_as_described), ("on", test_answers_are_as_described_with_identity)],
    ids=["identity off", "identity on"],
)
async def test_every_operation_was_reached(
    request: pytest.FixtureRequest, answers: _Answers, local: House, identity: str, test: Any
) -> None:
    """None of those that there are was only ever refused. Stands behind the others, for all of them."""
    paths = (await local.get("/openapi.json")).json["paths"].values()
    there = {operation["operationId"] for methods in paths for operation in methods.values()}
    if sum(item.name.startswith(f"{test.__name__}[") for item in request.session.items) < len(there):
        pytest.skip("only some operations are asked in this run")
    reached = {
        operation
        for (name, operation), statuses in answers.items()
        if name == identity and any(status < _REFUSED for status in statuses)
    }
    assert there - reached == _UNREACHABLE
