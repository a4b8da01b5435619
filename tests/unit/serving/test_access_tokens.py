"""Only the issuer's own good tokens are taken; everything else is refused, with its cause."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OctKey, RSAKey

from inventory.type.v1.access_pb2 import Role
from serving import access_tokens
from serving.access_tokens import Claims, TokenVerifier
from serving.errors import CallError
from serving.identity import StepUp
from serving.identity_settings import ClaimName
from serving.keys import KeySource
from tests.unit.serving.issuing import AUDIENCE, ISSUER, Issuer

STEP_UP = StepUp(300.0, ("gold",), ("mfa", "hwk"))


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """Give an issuer."""
    return Issuer(tmp_path_factory.mktemp("issuer") / "jwks.json")


def verifier_of(
    issuer: Issuer,
    paths: dict[ClaimName, tuple[str, ...]] | None = None,
    clock: Callable[[], float] = time.time,
) -> TokenVerifier:
    """Return a verifier of the issuer's tokens, some of whose claims are at other paths."""
    claims = Claims(ISSUER, AUDIENCE, paths or {})
    return TokenVerifier(KeySource(str(issuer.file)), claims, STEP_UP, clock=clock)


async def cause_of(verifier: TokenVerifier, token: str) -> str:
    """Return why a token is refused; fail if it is not, or would be known afterwards."""
    with pytest.raises(CallError) as refused:
        await verifier.verify(token)
    assert refused.value.code.name == "UNAUTHENTICATED"
    assert verifier.known(token) is None
    return refused.value.metadata["cause"]


def encoded(part: object) -> str:
    """Return a part of a token."""
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("kind", ["elliptic", "rsa"])
async def test_a_good_token_tells_its_bearer_and_is_known_from_then_on(issuer: Issuer, kind: str) -> None:
    verifier = verifier_of(issuer)
    key: ECKey | RSAKey = getattr(issuer, kind)
    token = issuer.token(
        key, sub="auth0|7", roles=["clerk", "viewer", "king"], locations=["W1", 2, "W2"], aud=["x", AUDIENCE]
    )
    assert verifier.known(token) is None
    caller = await verifier.verify(token)
    assert (caller.subject, caller.proof) == ("auth0|7", "token")
    assert caller.roles == {Role.ROLE_CLERK, Role.ROLE_VIEWER}
    assert caller.locations == {"W1", "W2"}
    assert caller.stepped_up_until == 0
    assert verifier.known(token) is caller


@pytest.mark.parametrize(
    ("claims", "cause"),
    [
        ({"iss": "https://issuer.example"}, "claims"),
        ({"iss": [ISSUER]}, "claims"),
        ({"iss": None}, "claims"),
        ({"aud": "inventory2"}, "claims"),
        ({"aud": ["a", "b"]}, "claims"),
        ({"aud": None}, "claims"),
        ({"exp": 1_000_000_000}, "expired"),
        ({"exp": "2000000000"}, "claims"),
        ({"exp": None}, "claims"),
        ({"exp": True}, "claims"),
        ({"nbf": 4_000_000_000}, "claims"),
        ({"iat": 4_000_000_000}, "claims"),
        ({"sub": None}, "claims"),
        ({"sub": ""}, "claims"),
        ({"sub": "a b"}, "claims"),
        ({"sub": "a\n"}, "claims"),
        ({"sub": "a" * 129}, "claims"),
        ({"sub": 7}, "claims"),
    ],
)
async def test_a_token_of_others_or_for_others_is_refused(
    issuer: Issuer, claims: dict[str, Any], cause: str
) -> None:
    assert await cause_of(verifier_of(issuer), issuer.token(**claims)) == cause


async def test_a_forged_token_is_refused(issuer: Issuer) -> None:
    verifier = verifier_of(issuer)
    thief = ECKey.generate_key("P-256", {"kid": "elliptic"})
    assert await cause_of(verifier, issuer.token(thief)) == "signature"
    assert await cause_of(verifier, issuer.token(ECKey.generate_key("P-256", {"kid": "other"}))) == "key"
    header, _, signature = issuer.token().split(".")
    payload = encoded({"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "exp": 4e9, "roles": ["administrator"]})
    assert await cause_of(verifier, f"{header}.{payload}.{signature}") == "signature"
    # A key in the token itself, or behind an address in it, is no key.
    mine = ECKey.generate_key("P-256", {"kid": "mine"})
    carried = issuer.token(mine, header={"jwk": mine.as_dict(private=False)})
    assert await cause_of(verifier, carried) == "key"


async def test_no_other_algorithm_is_taken(issuer: Issuer) -> None:
    verifier = verifier_of(issuer)
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "exp": int(time.time()) + 60}
    for none in ("none", "None", "NONE"):
        unsigned = f"{encoded({'alg': none, 'kid': 'rsa'})}.{encoded(claims)}."
        assert await cause_of(verifier, unsigned) == "algorithm"
    # The public key as the secret of a symmetric signature.
    for published in (issuer.rsa.as_pem(private=False), issuer.rsa.as_pem(private=False).strip()):
        signed = f"{encoded({'alg': 'HS256', 'kid': 'rsa'})}.{encoded(claims)}"
        mac = hmac.digest(published, signed.encode(), "sha256")
        forged = f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        assert await cause_of(verifier, forged) == "algorithm"
    # A key is good for its own algorithm alone.
    assert await cause_of(verifier, issuer.token(issuer.elliptic, header={"kid": "rsa"})) == "key"
    assert await cause_of(verifier, issuer.token(issuer.rsa, header={"kid": "elliptic"})) == "key"


async def test_a_key_that_cannot_be_trusted_is_none(tmp_path: Path) -> None:
    issuer = Issuer(tmp_path / "jwks.json")
    with pytest.warns(SecurityWarning):
        small = RSAKey.generate_key(1024, {"kid": "small"})
    secret = OctKey.generate_key(256, {"kid": "secret"})
    private = ECKey.generate_key("P-256", {"kid": "other"})
    for_others = ECKey.import_key(private.as_dict(private=False) | {"use": "enc"})
    issuer.publish(small, secret, for_others)
    verifier = verifier_of(issuer)
    assert await cause_of(verifier, issuer.token(small)) == "key"
    assert await cause_of(verifier, issuer.token(private)) == "key"
    assert await cause_of(verifier, issuer.token(secret)) == "algorithm"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
async def test_no_change_of_a_token_is_taken(issuer: Issuer, data: st.DataObject) -> None:
    verifier = verifier_of(issuer)
    token = issuer.token()
    start = data.draw(st.integers(0, len(token) - 1))
    end = data.draw(st.integers(start, len(token)))
    changed = token[:start] + data.draw(st.text(max_size=8)) + token[end:]
    same = _spelled_alike(changed, token)
    if not same:
        assert await cause_of(verifier, changed)


def _spelled_alike(one: str, other: str) -> bool:
    """Tell whether two texts are the same token: the last character of base64 has bits that nobody reads."""
    try:
        parts = [[base64.urlsafe_b64decode(p + "==") for p in text.split(".")] for text in (one, other)]
    except ValueError:
        return False
    return parts[0] == parts[1]


@given(st.one_of(st.text(), st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_what_is_no_token_is_malformed(issuer: Issuer, text: str) -> None:
    assert await cause_of(verifier_of(issuer), text) == "malformed"


async def test_a_token_ends_with_its_time_though_it_is_known(issuer: Issuer) -> None:
    now = time.time()
    verifier = verifier_of(issuer, clock=lambda: now)
    token = issuer.token(exp=int(now) + 60)
    await verifier.verify(token)
    now += 60 + access_tokens.LEEWAY_SECONDS - 1
    assert verifier.known(token) is not None
    now += 2
    assert await cause_of(verifier, token) == "expired"


async def test_a_token_is_verified_again_after_a_while(issuer: Issuer) -> None:
    now = time.time()
    verifier = verifier_of(issuer, clock=lambda: now)
    token = issuer.token(exp=int(now) + 3600)
    await verifier.verify(token)
    now += access_tokens.TRUST_SECONDS
    assert verifier.known(token) is None
    assert await verifier.verify(token)


async def test_the_tokens_known_are_bounded(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_tokens, "MOST_KNOWN", 2)
    verifier = verifier_of(issuer)
    first, second, third = (issuer.token(sub=f"user-{number}") for number in range(3))
    await verifier.verify(first)
    await verifier.verify(second)
    assert verifier.known(first)
    await verifier.verify(third)
    assert [verifier.known(token) is not None for token in (first, second, third)] == [True, False, True]


@pytest.mark.parametrize(
    ("claims", "counts"),
    [
        ({}, False),
        ({"auth_time": 0}, False),
        ({"auth_time": 0, "amr": ["pwd"], "acr": "1"}, False),
        ({"auth_time": 0, "amr": ["pwd", "mfa"]}, True),
        ({"auth_time": 0, "amr": "hwk"}, True),
        ({"auth_time": 0, "acr": "gold"}, True),
        ({"auth_time": 0, "acr": ["c1", "gold"]}, True),
        ({"auth_time": 0, "acr": "mfa", "amr": "gold"}, False),
        ({"auth_time": 0, "acr": {"gold": True}, "amr": 7}, False),
        ({"amr": ["mfa"]}, False),
        ({"auth_time": "now", "amr": ["mfa"]}, False),
        ({"auth_time": True, "amr": ["mfa"]}, False),
        ({"auth_time": float("nan"), "amr": ["mfa"]}, False),
        ({"auth_time": float("inf"), "amr": ["mfa"]}, False),
        ({"auth_time": 3600, "amr": ["mfa"]}, False),
        ({"auth_time": -299, "amr": ["mfa"]}, True),
        ({"auth_time": -302, "amr": ["mfa"]}, False),
    ],
)
async def test_a_step_up_counts_for_a_while(issuer: Issuer, claims: dict[str, Any], *, counts: bool) -> None:
    now = time.time()
    if isinstance(claims.get("auth_time"), int | float) and claims["auth_time"] is not True:
        claims = claims | {"auth_time": now + claims["auth_time"]}
    caller = await verifier_of(issuer, clock=lambda: now).verify(issuer.token(**claims))
    assert (caller.stepped_up_until >= now) is counts


async def test_roles_and_locations_are_where_the_issuer_puts_them(issuer: Issuer) -> None:
    verifier = verifier_of(
        issuer,
        {
            "roles": ("resource_access", "inventory", "roles"),
            "locations": ("https://shop.example/locations",),
            "amr": ("https://shop.example/amr",),
            "auth_time": ("https://shop.example/auth_time",),
        },
    )
    claims: dict[str, Any] = {
        "resource_access": {"inventory": {"roles": ["clerk"]}},
        "https://shop.example/locations": "W1",
        "https://shop.example/amr": ["mfa"],
        "https://shop.example/auth_time": int(time.time()),
    }
    caller = await verifier.verify(issuer.token(**claims))
    assert caller.roles == {Role.ROLE_CLERK}
    assert caller.locations == {"W1"}
    assert caller.stepped_up_until > time.time()
    # What lies elsewhere gives nothing.
    nobody = await verifier.verify(
        issuer.token(
            resource_access=["clerk"], roles=["administrator"], amr=["mfa"], auth_time=int(time.time())
        )
    )
    assert not nobody.roles
    assert not nobody.locations
    assert nobody.stepped_up_until == 0
