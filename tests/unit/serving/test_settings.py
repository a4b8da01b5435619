"""Settings come from the environment alone, and what is wrong with them is said in one line each."""

from __future__ import annotations

import pytest
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from serving.settings import ServerSettings, Settings, load, split_address


class Example(ServerSettings):
    """Settings of a service."""

    model_config = SettingsConfigDict(env_prefix="INVENTORY_EXAMPLE_")

    database_url: SecretStr = Field(min_length=20, description="where the database is")
    batch: int = Field(10, ge=1, description="most rows at once")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("INVENTORY_EXAMPLE_LISTEN", "127.0.0.1:8080")
    monkeypatch.setenv("INVENTORY_EXAMPLE_DATABASE_URL", "postgresql://user:hunter2@db/inventory")
    return monkeypatch


def test_settings_come_from_the_environment_and_are_frozen(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("INVENTORY_EXAMPLE_BATCH", "7")
    settings = load(Example)
    assert (settings.listen, settings.batch, settings.workers) == ("127.0.0.1:8080", 7, 1)
    with pytest.raises(ValidationError):
        settings.batch = 8


def test_a_secret_is_not_shown(environment: pytest.MonkeyPatch) -> None:
    assert environment
    assert "hunter2" not in repr(load(Example))


def test_each_problem_is_one_line_with_the_variable_and_its_meaning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INVENTORY_EXAMPLE_DATABASE_URL", "hunter2")
    monkeypatch.setenv("INVENTORY_EXAMPLE_BATCH", "none")
    with pytest.raises(SystemExit) as ended:
        load(Example)
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "INVENTORY_EXAMPLE_LISTEN",
        "INVENTORY_EXAMPLE_DATABASE_URL",
        "INVENTORY_EXAMPLE_BATCH",
    ]
    assert "missing" in lines[0]
    assert "host:port" in lines[0]
    assert "where the database is" in lines[1]
    assert "integer" in lines[2]
    assert not any("hunter2" in line for line in lines)


def test_several_workers_need_a_known_port(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("INVENTORY_EXAMPLE_LISTEN", "127.0.0.1:0")
    environment.setenv("INVENTORY_EXAMPLE_WORKERS", "2")
    with pytest.raises(SystemExit):
        load(Example)
    assert "port 0" in capsys.readouterr().err


SECURED = {
    "tls_certificate": "/tls/one.pem",
    "tls_key": "/tls/one.pem",
    "tls_ca": "/tls/ca.pem",
    "tls_peer": "spiffe://inventory/ns/inventory/sa/command",
}
GUARDED = {"identity_issuer": "https://issuer.example", "identity_jwks": "https://issuer.example/jwks"}


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:0", "[::1]:0"])
def test_who_is_reached_from_this_machine_alone_may_ask_nobody_who_it_is(listen: str) -> None:
    assert not ServerSettings.model_validate({"listen": listen}).identity_issuer


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "10.0.0.7:0", "inventory:0", "127.0.0.1.evil:0"])
def test_who_is_reached_by_others_asks_who_they_are(listen: str) -> None:
    with pytest.raises(ValidationError, match="set identity_issuer"):
        ServerSettings.model_validate({"listen": listen})
    assert ServerSettings.model_validate({"listen": listen, **GUARDED, **SECURED}).identity_issuer


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "10.0.0.7:0", "inventory:0", "127.0.0.1.evil:0"])
def test_plaintext_is_spoken_on_this_machine_alone(listen: str) -> None:
    with pytest.raises(ValidationError, match="set tls_certificate, tls_key, tls_ca and tls_peer"):
        ServerSettings.model_validate({"listen": listen, **GUARDED})
    assert ServerSettings.model_validate({"listen": listen, **GUARDED, **SECURED}).serves_tls
    assert not ServerSettings.model_validate({"listen": "127.0.0.1:0", **GUARDED}).serves_tls


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"identity_jwks": ""}, "needs identity_jwks"),
        ({"identity_issuer": ""}, "need identity_issuer"),
        ({"identity_jwks": "http://issuer.example/jwks"}, "must be an https URL"),
        ({"identity_jwks": "http://localhost.evil.example/jwks"}, "must be an https URL"),
        ({"identity_jwks": "ftp://issuer.example/jwks"}, "must be an https URL"),
        ({"identity_audience": ""}, "at least 1 character"),
        ({"identity_workloads": {"spiffe://a": {"roles": ["king"]}}}, "there is no role king"),
        ({"identity_workloads": {"spiffe://a": {"roles": [], "admin": True}}}, "not permitted"),
        ({"identity_claims": {"roles": []}}, "at least 1 item"),
        ({"identity_claims": {"role": ["x"]}}, "should be 'roles'"),
        ({"step_up_seconds": 0}, "greater than 0"),
    ],
)
def test_settings_of_identity_that_would_be_no_protection_are_refused(
    change: dict[str, object], complaint: str
) -> None:
    given = {"listen": "127.0.0.1:0", **GUARDED}
    assert ServerSettings.model_validate(given)
    with pytest.raises(ValidationError, match=complaint):
        ServerSettings.model_validate(given | change)


@pytest.mark.parametrize("jwks", ["https://a/jwks", "http://127.0.0.1:7421/jwks", "/etc/inventory/jwks.json"])
def test_keys_come_from_where_nobody_else_can_put_them(jwks: str) -> None:
    settings = ServerSettings.model_validate({"listen": "127.0.0.1:0", **GUARDED, "identity_jwks": jwks})
    assert settings.identity_jwks == jwks


def test_workloads_and_claims_are_told_as_json(environment: pytest.MonkeyPatch) -> None:
    for name, value in {
        "IDENTITY_ISSUER": "https://issuer.example",
        "IDENTITY_JWKS": "https://issuer.example/jwks",
        "IDENTITY_WORKLOADS": '{"spiffe://a/b": {"roles": ["clerk"], "locations": ["W1"]}}',
        "IDENTITY_PROXIES": '["spiffe://a/edge"]',
        "IDENTITY_CLAIMS": '{"roles": ["realm_access", "roles"]}',
    }.items():
        environment.setenv(f"INVENTORY_EXAMPLE_{name}", value)
    settings = load(Example)
    assert settings.identity_workloads["spiffe://a/b"].locations == ("W1",)
    assert settings.identity_proxies == ("spiffe://a/edge",)
    assert settings.identity_claims == {"roles": ("realm_access", "roles")}


def test_a_field_without_a_description_is_refused() -> None:
    with pytest.raises(TypeError, match="no description for mystery"):

        class _Undocumented(Settings):
            mystery: int = 1


@pytest.mark.parametrize(
    ("address", "parts"),
    [("0.0.0.0:80", ("0.0.0.0", 80)), ("[::1]:0", ("::1", 0)), ("localhost:65535", ("localhost", 65535))],  # noqa: S104 - parsed, not bound
)
def test_an_address_has_a_host_and_a_port(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize("address", ["", "80", ":80", "host", "host:", "host:65536", "host:-1", "::1:80"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        split_address(address)
