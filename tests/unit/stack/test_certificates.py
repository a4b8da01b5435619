"""The certificates of a stack: what they say, who may read them, when they are renewed."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from stack import home
from stack.authority import Authority, spiffe_id, write
from stack.certificates import WORKLOADS, Certificates
from stack.errors import StackError
from stack.home import Home
from stack.ports import Ports


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificates:
    monkeypatch.setattr(home, "ROOT", tmp_path)
    made = Certificates(Home("tried", Ports(17400)))
    made.ensure()
    return made


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_every_workload_has_an_identity_of_its_own(certificates: Certificates) -> None:
    authority = read(certificates.ca)
    for name in WORKLOADS:
        path = certificates.identity(name)
        certificate, key = read(path), load_pem_private_key(path.read_bytes(), None)
        certificate.verify_directly_issued_by(authority)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert key.curve.name == "secp256r1"
        assert key.public_key() == certificate.public_key()
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == [spiffe_id(name)]
        assert names.get_values_for_type(x509.DNSName) == ["localhost"]
        assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
        assert certificate.not_valid_after_utc - datetime.now(UTC) <= timedelta(hours=24)
        assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_nobody_else_may_read_them(certificates: Certificates) -> None:
    folder = certificates.trust.parent
    for path in (folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_what_is_young_is_left_alone(certificates: Certificates) -> None:
    before = {path: path.read_bytes() for path in certificates.identities.iterdir()}
    certificates.ensure()
    assert {path: path.read_bytes() for path in certificates.identities.iterdir()} == before


def test_what_has_lived_half_its_time_is_renewed(certificates: Certificates) -> None:
    path = certificates.issue("order-service", timedelta(seconds=30))
    before = read(path)
    certificates.ensure()
    after = read(path)
    assert after.serial_number != before.serial_number
    assert after.not_valid_after_utc > datetime.now(UTC) + timedelta(hours=23)


def test_to_rotate_renews_everything_under_the_same_authority(certificates: Certificates) -> None:
    certificates.issue("order-service")
    before = {path: read(path).serial_number for path in certificates.identities.iterdir()}
    authority = certificates.ca.read_bytes()

    certificates.rotate()

    assert certificates.ca.read_bytes() == authority
    after = {path: read(path).serial_number for path in certificates.identities.iterdir()}
    assert before.keys() == after.keys()
    assert all(after[path] != before[path] for path in before)


def test_what_is_revoked_stays_so(certificates: Certificates, tmp_path: Path) -> None:
    ours, elsewhere = certificates.issue("order-service"), tmp_path / "elsewhere.pem"
    certificates.issue("other-service", to=elsewhere)
    serials = {read(path).serial_number for path in (ours, elsewhere)}

    for path in (ours, elsewhere, elsewhere):
        certificates.revoke(path)
    certificates.rotate()

    revoked = x509.load_pem_x509_crl(certificates.crl.read_bytes())
    assert {one.serial_number for one in revoked} == serials
    assert not ours.exists(), "or it would be renewed"
    assert elsewhere.exists()
    issuer = read(certificates.ca).public_key()
    assert isinstance(issuer, ec.EllipticCurvePublicKey)
    assert revoked.is_signature_valid(issuer)


@pytest.mark.parametrize("name", ["edge", "command", "", "Order", "../x", "a/b", "-a", "a" * 64])
def test_nobody_takes_the_name_of_another_or_leaves_the_folder(certificates: Certificates, name: str) -> None:
    before = {path: path.read_bytes() for path in certificates.trust.parent.rglob("*.pem")}
    with pytest.raises(StackError, match="cannot be a caller's name"):
        certificates.issue(name)
    assert {path: path.read_bytes() for path in certificates.trust.parent.rglob("*.pem")} == before


def test_what_is_no_certificate_cannot_be_revoked(certificates: Certificates, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.pem", certificates.crl):
        with pytest.raises(StackError, match="is no certificate"):
            certificates.revoke(path)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "private" / "one.pem"
    write(path, b"first")
    with path.open("rb") as reading:
        write(path, b"second")
        assert reading.read() == b"first"
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]


def test_two_authorities_know_nothing_of_each_other(tmp_path: Path) -> None:
    one, other = (Authority(tmp_path / name) for name in ("one", "other"))
    assert Authority(tmp_path / "one").certificate == one.certificate
    issued = x509.load_pem_x509_certificate(other.issue("edge"))
    with pytest.raises(InvalidSignature):
        issued.verify_directly_issued_by(x509.load_pem_x509_certificate(one.certificate))
