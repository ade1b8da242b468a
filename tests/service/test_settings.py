"""Settings: where they come from, and how what is wrong with them is said."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from service.sections import ModelSettings, TermsSettings
from service.settings import Settings, _defaults_file, load_settings
from sessions.errors import ConfigError

SECRET = "sk-very-secret-1234"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No config.toml in the working folder, unless a test writes one."""
    monkeypatch.chdir(tmp_path)


def _load(
    *, environ: Mapping[str, str] | None = None, config: Path | None = None, **arguments: Any
) -> Settings:
    return load_settings(arguments, config=config, environ=environ or {})


def _problems(**how: Any) -> list[str]:
    """The lines of a refusal."""
    with pytest.raises(ConfigError) as refused:
        _load(**how)
    return refused.value.message.splitlines()


# ---------------------------------------------------------------------- layers


def test_without_anything_the_packaged_file_decides() -> None:
    settings = _load()
    packaged = tomllib.loads(_defaults_file().read_text(encoding="utf-8"))
    assert settings.server.model_dump(mode="json") == packaged["server"]
    assert settings.downloads.model_dump() == packaged["downloads"]
    assert set(settings.models) == set(packaged["models"])
    assert (settings.active_provider, settings.default_model) == ("local", "local:preview@1")


def test_each_layer_overrides_the_one_below(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text("[server]\nport = 1001\nhost = '127.0.0.2'\nbody_limit_kib = 7\n", encoding="utf-8")
    environ = {"SCENEWRIGHT_SERVER__PORT": "1002", "SCENEWRIGHT_SERVER__HOST": "127.0.0.3"}

    server = _load(config=own, environ=environ, server={"port": 1003}).server

    assert (server.port, server.host, server.body_limit_kib) == (1003, "127.0.0.3", 7)
    assert server.shutdown_seconds == _load().server.shutdown_seconds


def test_the_own_file_is_named_by_argument_else_by_variable_else_lies_here(tmp_path: Path) -> None:
    ports = {"argument.toml": 1, "variable.toml": 2, "config.toml": 3}
    for name, port in ports.items():
        (tmp_path / name).write_text(f"[server]\nport = {port}\n", encoding="utf-8")
    variable = {"SCENEWRIGHT_CONFIG": str(tmp_path / "variable.toml")}
    assert _load().server.port == 3
    assert _load(environ=variable).server.port == 2
    assert _load(environ=variable, config=tmp_path / "argument.toml").server.port == 1


@pytest.mark.parametrize(
    ("name", "value", "place", "expected"),
    [
        ("SCENEWRIGHT_SERVER__HOST", "::1", "server.host", "::1"),
        ("SCENEWRIGHT_SERVER__PORT", "0", "server.port", 0),
        ("SCENEWRIGHT_DATABASE__URL", "sqlite:////srv/x.db", "database.url", "sqlite:////srv/x.db"),
        ("SCENEWRIGHT_OUTPUTS__DIR", "/srv/out", "outputs.dir", Path("/srv/out")),
        ("SCENEWRIGHT_RUNWARE__WS_URL", "ws://127.0.0.1:1/v1", "runware.ws_url", "ws://127.0.0.1:1/v1"),
        ("SCENEWRIGHT_RUNWARE__HTTP_URL", "http://127.0.0.1:1", "runware.http_url", "http://127.0.0.1:1"),
        ("SCENEWRIGHT_PROVIDER", "local", "provider", "local"),
        ("SCENEWRIGHT_LOCAL__WORKERS", "3", "local.workers", 3),
        ("SCENEWRIGHT_DOWNLOADS__PAUSE_SECONDS", "0.25", "downloads.pause_seconds", 0.25),
        ("scenewright_server__port", "1", "server.port", 8420),
        (
            "SCENEWRIGHT_SERVER__NAMES",
            "a.example.com, b.example.com",
            "server.names",
            ("a.example.com", "b.example.com"),
        ),
        ("SCENEWRIGHT_AUTH__ROLES", "", "auth.roles", ("authenticated",)),
        ("SCENEWRIGHT_RETRIES__CODES", "timeout", "retries.codes", ("timeout",)),
    ],
)
def test_a_variable_sets_its_setting(name: str, value: str, place: str, expected: object) -> None:
    found: Any = _load(environ={name: value})
    for part in place.split("."):
        found = getattr(found, part)
    assert found == expected


def test_an_empty_variable_counts_as_unset() -> None:
    environ = {"SCENEWRIGHT_SERVER__PORT": "", "RUNWARE_API_KEY": "", "SCENEWRIGHT_CONFIG": ""}
    assert _load(environ=environ) == _load()


def test_variables_of_other_programs_are_left_alone() -> None:
    assert _load(environ={"SERVER__PORT": "1", "PATH": "/bin", "SCENEWRIGHTX": "1"}) == _load()


# ---------------------------------------------------------------------- provider and key


@pytest.mark.parametrize("name", ["RUNWARE_API_KEY", "SCENEWRIGHT_RUNWARE__API_KEY"])
def test_a_key_chooses_runware(name: str) -> None:
    settings = _load(environ={name: SECRET})
    assert settings.runware.api_key is not None
    assert settings.runware.api_key.get_secret_value() == SECRET
    assert settings.active_provider == "runware"
    assert settings.default_model == settings.runware.default_model


def test_our_own_name_of_the_key_wins() -> None:
    environ = {"SCENEWRIGHT_RUNWARE__API_KEY": "ours", "RUNWARE_API_KEY": "theirs"}
    for order in (environ, dict(reversed(environ.items()))):
        key = _load(environ=order).runware.api_key
        assert key is not None
        assert key.get_secret_value() == "ours"


def test_a_key_in_the_file_works_too_and_the_environment_replaces_it(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text("[runware]\napi_key = 'filed'\n", encoding="utf-8")
    for environ, expected in (({}, "filed"), ({"RUNWARE_API_KEY": SECRET}, SECRET)):
        key = _load(config=own, environ=environ).runware.api_key
        assert key is not None
        assert key.get_secret_value() == expected


def test_previews_can_be_chosen_in_spite_of_a_key() -> None:
    settings = _load(environ={"RUNWARE_API_KEY": SECRET, "SCENEWRIGHT_PROVIDER": "local"})
    assert (settings.active_provider, settings.default_model) == ("local", "local:preview@1")


def test_runware_without_a_key_is_refused_and_the_way_out_is_named() -> None:
    (line,) = _problems(environ={"SCENEWRIGHT_PROVIDER": "runware"})
    assert "RUNWARE_API_KEY" in line


def test_the_key_is_not_shown() -> None:
    settings = _load(environ={"RUNWARE_API_KEY": SECRET})
    assert SECRET not in repr(settings) + str(settings) + settings.model_dump_json()


# ---------------------------------------------------------------------- what is wrong is said


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"server": {"prot": 1}}, "server.prot"),
        ({"sever": {"port": 1}}, "sever"),
        ({"sever": 1}, "sever"),
        ({"models": {"local:preview@1": {"colour": True}}}, "models.local:preview@1.colour"),
    ],
)
def test_an_unknown_setting_is_named(arguments: Mapping[str, Any], place: str) -> None:
    assert _problems(**arguments) == [f"{place}: there is no such setting; config.toml lists them all"]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("SCENEWRIGHT_SERVER__PROT", "server.prot"),
        ("SCENEWRIGHT_PORT", "port"),
        ("SCENEWRIGHT_RUNWARE__APIKEY", "runware.apikey"),
    ],
)
def test_an_unknown_variable_is_named_without_its_value(name: str, place: str) -> None:
    assert _problems(environ={name: SECRET}) == [
        f"{place}: there is no such setting; config.toml lists them all"
    ]


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"server": {"port": 65536}}, "server.port"),
        ({"server": {"port": -1}}, "server.port"),
        ({"server": {"port": "http"}}, "server.port"),
        ({"server": {"shutdown_seconds": -1}}, "server.shutdown_seconds"),
        ({"server": 5}, "server"),
        ({"log": {"level": "loud"}}, "log.level"),
        ({"local": {"preset": "placebo"}}, "local.preset"),
        ({"downloads": {"attempts": 0}}, "downloads.attempts"),
        ({"downloads": {"stall_seconds": 0}}, "downloads.stall_seconds"),
        ({"runware": {"ws_url": "http://x"}}, "runware.ws_url"),
        ({"runware": {"http_url": "ws://x"}}, "runware.http_url"),
        ({"runware": {"poll_seconds": 0}}, "runware.poll_seconds"),
        ({"runware": {"api_key": {"value": SECRET}}}, "runware.api_key"),
        ({"provider": "midjourney"}, "provider"),
        ({"models": {"local:preview@1": {"prompt_limit": 1}}}, "models.local:preview@1.prompt_limit"),
    ],
)
def test_a_bad_value_is_one_line_that_starts_with_its_place(arguments: Mapping[str, Any], place: str) -> None:
    (line,) = _problems(**arguments)
    assert line.startswith(f"{place}: ")
    assert SECRET not in line


def test_a_model_that_lacks_something_is_told_all_that_it_lacks() -> None:
    lines = _problems(models={"a:b@1": {"provider": "local"}})
    lacking = {line.partition(": Field required")[0].removeprefix("models.a:b@1.") for line in lines}
    optional = {"provider", "image_sets_size", "aliases", "resolutions", "last_image", "reference_images"}
    optional |= {"sound_switch", "slots", "settings"}
    assert lacking == set(ModelSettings.model_fields) - optional


def test_everything_that_is_wrong_is_said_at_once() -> None:
    lines = _problems(server={"port": -1, "prot": 1}, log={"level": "loud"})
    assert sorted(line.partition(":")[0] for line in lines) == ["log.level", "server.port", "server.prot"]


@pytest.mark.parametrize(
    "environ",
    [
        {"SCENEWRIGHT_SERVER__PORT": SECRET},
        {"SCENEWRIGHT_RUNWARE__API_KEY__X": SECRET},
        {"SCENEWRIGHT_RUNWARE__WS_URL": SECRET},
        {"SCENEWRIGHT_RUNWARE__POLL_SECONDS": SECRET},
        {"SCENEWRIGHT_RUNWARE": SECRET},
        {"SCENEWRIGHT_PROVIDER": SECRET},
        {"SCENEWRIGHT_MODELS": SECRET},
        {"SCENEWRIGHT_LOG__LEVEL": SECRET},
        {"RUNWARE_API_KEY": SECRET, "SCENEWRIGHT_SERVER__PORT": "x"},
    ],
)
def test_a_value_in_the_wrong_place_is_not_repeated(environ: Mapping[str, str]) -> None:
    assert SECRET not in "\n".join(_problems(environ=environ))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", "", "localhost.evil.com"])
def test_an_address_that_others_reach_is_refused(host: str) -> None:
    (line,) = _problems(server={"host": host})
    assert line.startswith(f"server.host {host!r} can be reached from outside")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_an_address_of_this_machine_is_taken(host: str) -> None:
    assert _load(server={"host": host}).server.host == host


# ---------------------------------------------------------------------- who may ask


JWT_SECRET = "x" * 32


@pytest.mark.parametrize(
    "auth", [{"jwt_secret": JWT_SECRET}, {"jwks_url": "https://auth.example.com/.well-known/jwks.json"}]
)
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.com"])
def test_with_authentication_any_address_is_taken(host: str, auth: dict[str, str]) -> None:
    settings = _load(server={"host": host}, auth={"mode": "jwt", **auth})
    assert settings.server.host == host


def test_what_would_check_tokens_does_not_do_so_while_authentication_is_off() -> None:
    (line,) = _problems(server={"host": "0.0.0.0"}, auth={"jwt_secret": JWT_SECRET})
    assert line.startswith("server.host '0.0.0.0' can be reached from outside")


def test_tokens_need_something_to_check_them_with() -> None:
    (line,) = _problems(auth={"mode": "jwt"})
    assert line.startswith("auth: mode is jwt, but there is nothing to check tokens with")
    assert "SCENEWRIGHT_AUTH__JWT_SECRET" in line


@pytest.mark.parametrize("secret", ["x" * 31, "é" * 15, "-----BEGIN PUBLIC KEY-----\n" + "x" * 64])
def test_a_secret_that_could_be_guessed_or_is_none_is_refused_without_being_shown(secret: str) -> None:
    (line,) = _problems(environ={"SCENEWRIGHT_AUTH__JWT_SECRET": secret})
    assert line.startswith("auth.jwt_secret: ")
    assert secret not in line


def test_a_secret_of_32_bytes_is_taken_and_not_shown() -> None:
    settings = _load(environ={"SCENEWRIGHT_AUTH__JWT_SECRET": "é" * 16, "SCENEWRIGHT_AUTH__MODE": "jwt"})
    assert "é" not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize(
    "url",
    [
        "http://auth.example.com/jwks.json",
        "http://127.0.0.1.example.com/jwks.json",
        "http://localhost@example.com/jwks.json",
        "https://user:secret@example.com/jwks.json",
        "file:///etc/passwd",
        "https://",
        "https:///jwks.json",
        "https://example.com:99999/",
        "https://[::1/",
        "https://example.com/a b",
        "jwks.json",
    ],
)
def test_keys_come_over_a_connection_that_nobody_can_change(url: str) -> None:
    (line,) = _problems(auth={"jwks_url": url})
    assert line.startswith("auth.jwks_url: ")


@pytest.mark.parametrize("host", ["127.0.0.1:54321", "localhost", "[::1]:9"])
def test_on_this_machine_keys_may_come_over_plain_http(host: str) -> None:
    assert _load(auth={"jwks_url": f"http://{host}/jwks.json"}).auth.jwks_url == f"http://{host}/jwks.json"


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"mode": "basic"}, "auth.mode"),
        ({"leeway_seconds": -1}, "auth.leeway_seconds"),
        ({"leeway_seconds": 301}, "auth.leeway_seconds"),
        ({"cookie": "a b"}, "auth.cookie"),
        ({"cookie": "a=b"}, "auth.cookie"),
        ({"roles": 5}, "auth.roles"),
    ],
)
def test_a_bad_value_of_authentication_is_one_line(changes: dict[str, Any], place: str) -> None:
    (line,) = _problems(auth=changes)
    assert line.startswith(f"{place}: ")


# ---------------------------------------------------------------------- the file


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    for how in ({"config": missing}, {"environ": {"SCENEWRIGHT_CONFIG": str(missing)}}):
        (line,) = _problems(**how)
        assert str(missing) in line
    (line,) = _problems(config=tmp_path)
    assert str(tmp_path) in line, "a folder is no file"


@pytest.mark.parametrize(
    "content", [b"[server\n", b"port = \xff\xfe\n", b"[a]\n[a]\n", b"key = %s\n" % SECRET.encode()]
)
def test_a_file_that_is_no_toml_is_named_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    own = tmp_path / "own.toml"
    own.write_bytes(content)
    (line,) = _problems(config=own)
    assert line.startswith(f"{own} is not valid TOML: ")
    assert SECRET not in line


def test_a_file_that_cannot_be_read_is_named() -> None:
    unreadable = Path("/proc/self/mem")  # opens, but its first byte cannot be read
    assert _problems(config=unreadable) == [f"{unreadable} cannot be read: Input/output error"]


# ---------------------------------------------------------------------- the catalogue of models


@pytest.mark.parametrize("section", ["local", "runware"])
def test_the_default_model_must_be_in_the_catalogue_and_of_the_right_provider(section: str) -> None:
    other = _load().runware.default_model if section == "local" else _load().local.default_model
    for name in ("no:such@1", other):
        (line,) = _problems(**{section: {"default_model": name}})
        assert line == f"{section}.default_model {name!r} is not a {section} model of [models]"


def test_the_default_length_must_be_possible_and_the_line_is_plain() -> None:
    (line,) = _problems(models={"local:preview@1": {"default_seconds": 61}})
    assert line == "models.local:preview@1: default_seconds is not among seconds"


def test_lengths_of_the_wrong_kind_are_one_plain_line() -> None:
    (line,) = _problems(models={"local:preview@1": {"seconds": "any"}})
    assert line.startswith("models.local:preview@1.seconds: ")


@pytest.mark.parametrize("size", [[256, 127], [64, 64], [8192, 144], [257, 144], [256], [256, 144, 1]])
def test_sizes_must_suit_an_encoder(size: list[int]) -> None:
    lines = _problems(models={"local:preview@1": {"sizes": {"16:9": size}}})
    assert all(line.startswith("models.local:preview@1.sizes.16:9") for line in lines)


def test_a_model_can_be_added_in_the_own_file(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        """
        [runware]
        default_model = "new:model@1"
        [models."new:model@1"]
        provider = "runware"
        label = "New"
        seconds = [5, 7.5]
        default_seconds = 7.5
        sizes = { "1:1" = [512, 512] }
        audio = false
        images = false
        prompt_limit = 500
        """,
        encoding="utf-8",
    )
    settings = _load(config=own, environ={"RUNWARE_API_KEY": SECRET})
    assert settings.default_model == "new:model@1"
    model = settings.models["new:model@1"]
    assert [model.allows(seconds) for seconds in (5, 6, 7.5)] == [True, False, True]
    assert model.seconds_for_people == "5, 7.5 seconds"


def test_what_a_model_is_given_replaces_what_it_had() -> None:
    changes: dict[str, Any] = {
        "models": {"local:preview@1": {"sizes": {"1:1": [256, 256]}, "seconds": [2], "default_seconds": 2}}
    }
    model = _load(**changes).models["local:preview@1"]
    assert model.sizes == {"1:1": (256, 256)}
    assert [model.allows(seconds) for seconds in (1, 2)] == [False, True]
    assert model.label == "Local preview (free)", "what is not given stays"


@pytest.mark.parametrize(
    ("seconds", "allowed"),
    [
        (0, False),
        (1, True),
        (5, True),
        (5.5, False),
        (60, True),
        (61, False),
        (float("nan"), False),
        (float("inf"), False),
    ],
)
def test_a_range_allows_whole_seconds_only(seconds: float, allowed: bool) -> None:
    model = _load().models["local:preview@1"]
    assert model.allows(seconds) is allowed
    assert model.seconds_for_people == "whole seconds from 1 to 60"


# ---------------------------------------------------------------------- config.toml explains itself


_SECTION = re.compile(r"^\[(?P<name>[^]]+)\]$")
_KEY = re.compile(r"^(?P<key>[a-z_]+) = ")


def _keys(*, of_models: bool) -> dict[str, str]:
    """``section.key`` -> the comment directly above it or on its line."""
    found: dict[str, str] = {}
    section, above = "", ""
    for line in _defaults_file().read_text(encoding="utf-8").splitlines():
        if match := _SECTION.match(line):
            section, above = match["name"], ""
        elif match := _KEY.match(line):
            if section.startswith("models.") is of_models:
                found[f"{section}.{match['key']}"] = line.partition(" # ")[2] or above
            above = ""
        else:
            above = line.removeprefix("#").strip() if line.startswith("#") else ""
    return found


@pytest.mark.parametrize(("place", "comment"), _keys(of_models=False).items())
def test_every_setting_has_its_comment(place: str, comment: str) -> None:
    assert len(comment) > 10, f"{place} has no comment directly above it or on its line"


def test_every_key_of_a_model_is_explained_above_the_catalogue() -> None:
    text = _defaults_file().read_text(encoding="utf-8")
    explained = set(re.findall(r"^#   ([a-z_]+)  ", text, re.MULTILINE))
    assert explained == {*ModelSettings.model_fields, *TermsSettings.model_fields}
    assert {place.rpartition(".")[2] for place in _keys(of_models=True)} <= explained


def test_the_file_holds_every_setting() -> None:
    listed = set(_keys(of_models=False))
    known = {
        f"{section}.{key}"
        for section, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        for key in field.annotation.model_fields
    }
    secret = {"runware.api_key", "auth.jwt_secret", "cloudinary.api_secret", "monitor.token"}
    unset = {"credits.opening_tokens", "credits.opening_dust"}
    assert known - listed == secret | unset, "a secret belongs in the environment"
    assert listed <= known
