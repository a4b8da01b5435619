"""The certificates of a stack: where they lie, who has one, and how they stay fresh.

    tls/authority/       the authority's own key, for this module alone
    tls/trust/           what everybody may read: ca.pem, and crl.pem, the list of what has been revoked
    tls/identities/      NAME.pem: an identity (see `stack.authority`)

Every file is replaced at once, by a rename in its folder, which is what Envoy watches.
"""

import fcntl
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from stack.authority import LIFETIME, Authority, write
from stack.errors import StackError
from stack.home import Home

__all__ = ["WORKLOADS", "Certificates", "keep"]

WORKLOADS = ("edge", "command", "query", "pipeline", "audit")
"""Who has an identity from the beginning. A service and its sidecar are one."""

LOOK_SECONDS = 2.0
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


class Certificates:
    """The certificates of one stack."""

    def __init__(self, home: Home) -> None:
        self._folder = home.folder / "tls"
        self.trust = self._folder / "trust"
        self.identities = self._folder / "identities"
        self.ca = self.trust / "ca.pem"
        self.crl = self.trust / "crl.pem"

    def identity(self, name: str) -> Path:
        """Return the file of an identity, which need not be there."""
        return self.identities / f"{name}.pem"

    def ensure(self) -> None:
        """Make what is missing, and renew what has lived half its time."""
        with self._authority() as authority:
            self._publish(authority, when=self._crl_is_due())
            for name in WORKLOADS:
                if not self.identity(name).exists():
                    write(self.identity(name), authority.issue(name))
            self._renew(authority, _is_due)

    def rotate(self) -> None:
        """Renew everything now."""
        with self._authority() as authority:
            self._publish(authority, when=True)
            self._renew(authority, lambda _: True)

    def issue(self, name: str, lifetime: timedelta = LIFETIME, to: Path | None = None) -> Path:
        """Make an identity for a caller, and return its file, `to` if given.

        StackError when no workload can have that name. One that lies elsewhere is nobody's to renew.
        """
        if not _NAME.fullmatch(name) or name in WORKLOADS:
            raise StackError(
                f"{name!r} cannot be a caller's name: expected one such as order-service,"
                f" and none of {', '.join(WORKLOADS)}"
            )
        path = to or self.identity(name)
        with self._authority() as authority:
            self._publish(authority, when=not self.ca.exists())
            write(path, authority.issue(name, lifetime))
        return path

    def revoke(self, path: Path) -> None:
        """Refuse the certificate of a file from now on, and forget the file if it is one of ours."""
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError) as error:
            raise StackError(f"{path} is no certificate: {error}") from error
        with self._authority() as authority:
            authority.revoke(certificate)
            self._publish(authority, when=True)
            if path.resolve().parent == self.identities.resolve():
                path.unlink()

    @contextmanager
    def _authority(self) -> Iterator[Authority]:
        """Give the authority to one process at a time."""
        folder, lock_file = self._folder / "authority", self._folder / "lock"
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock_file.touch(mode=0o600)
        with lock_file.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield Authority(folder)

    def _publish(self, authority: Authority, *, when: bool) -> None:
        if when:
            write(self.ca, authority.certificate)
            write(self.crl, authority.revoked())

    def _renew(self, authority: Authority, due: Callable[[Path], bool]) -> None:
        for path in sorted(self.identities.glob("[!.]*.pem")):
            if due(path):
                write(path, authority.issue(path.stem))

    def _crl_is_due(self) -> bool:
        if not self.crl.exists() or not self.ca.exists():
            return True
        listed = x509.load_pem_x509_crl(self.crl.read_bytes())
        end = listed.next_update_utc
        return end is None or _half_is_over(listed.last_update_utc, end)


def keep(home: Home, wait: Callable[[float], bool]) -> None:
    """Renew in time what the stack has, until `wait`, called with the seconds to the next look, says so."""
    certificates = Certificates(home)
    while not wait(LOOK_SECONDS):
        certificates.ensure()


def _is_due(path: Path) -> bool:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return _half_is_over(certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def _half_is_over(begin: datetime, end: datetime) -> bool:
    return datetime.now(UTC) - begin > end - datetime.now(UTC)
