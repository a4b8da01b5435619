"""The programs of the control plane, and grpcurl, built once from their pinned sources into a cache.

`python -m tests.mesh.builds` builds what is not there. The cache is INVENTORY_MESH_CACHE, or
`inventory-mesh` in the user's cache folder; what is in it is kept by the pins and the compiler's version.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent / "programs"
ISTIO = "istio.io/istio"
CLOUDNATIVE_PG = "github.com/cloudnative-pg/cloudnative-pg"
# By module folder: the programs, and the packages they are built from.
PROGRAMS = {
    "cloudnative-pg": {},
    "etcd": {"etcd": "go.etcd.io/etcd/server/v3"},
    "grpcurl": {"grpcurl": "github.com/fullstorydev/grpcurl/cmd/grpcurl"},
    "istio": {
        "pilot-discovery": f"{ISTIO}/pilot/cmd/pilot-discovery",
        "pilot-agent": f"{ISTIO}/pilot/cmd/pilot-agent",
    },
    "kubernetes": {"kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver"},
}
# Files, or folders of them, of a module's own sources that come along.
FILES = {
    "cloudnative-pg": (CLOUDNATIVE_PG, {"crds": "config/crd/bases"}),
    "istio": (
        ISTIO,
        {
            "crds.yaml": "manifests/charts/base/files/crd-all.gen.yaml",
            "envoy_bootstrap.json": "tools/packaging/common/envoy_bootstrap.json",
        },
    ),
}
SIGN_OF_LIFE_SECONDS = 20


class BuildError(Exception):
    """A program cannot be built."""


@dataclass(frozen=True)
class Programs:
    """Where the built programs, and the files of the operators, are."""

    cloudnative_pg: Path
    etcd: Path
    grpcurl: Path
    istio: Path
    kubernetes: Path


def ensure() -> Programs:
    """Return the programs, built if they are not there yet; raises BuildError."""
    root = Path(os.environ.get("INVENTORY_MESH_CACHE") or _user_cache() / "inventory-mesh")
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return Programs(*(_built(root, name) for name in sorted(PROGRAMS)))


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _built(root: Path, name: str) -> Path:
    source = SOURCES / name
    pins = b"".join((source / file).read_bytes() for file in ("go.mod", "go.sum"))
    folder = root / f"{name}-{hashlib.sha256(pins).hexdigest()[:16]}"
    if folder.exists():
        return folder
    if shutil.which("go") is None:
        raise BuildError("the mesh is built from Go modules: install Go 1.26 or later")
    unready = root / f"{name}.new"
    shutil.rmtree(unready, ignore_errors=True)
    unready.mkdir()
    for program, package in PROGRAMS[name].items():
        _build(source, unready / program, package)
    if name in FILES:
        module, files = FILES[name]
        _go(source, "mod", "download", module)
        sources = Path(_go(source, "list", "-m", "-f", "{{.Dir}}", module).strip())
        for target, file in files.items():
            copy = shutil.copytree if (sources / file).is_dir() else shutil.copyfile
            copy(sources / file, unready / target)
    unready.rename(folder)
    return folder


def _build(source: Path, target: Path, package: str) -> None:
    print(f"building {target.name} (once)", flush=True)
    # On a machine that does other things too, a build is in no hurry.
    command = ["nice", "-n", "10", "go", "build", "-o", str(target), package]
    begun = spoken = time.monotonic()
    with target.with_suffix(".log").open("w+") as log:
        process = subprocess.Popen(  # noqa: S603
            command, cwd=source, env=_environment(), stdout=log, stderr=log
        )
        while (code := process.poll()) is None:
            time.sleep(0.2)
            if time.monotonic() - spoken > SIGN_OF_LIFE_SECONDS:
                spoken = time.monotonic()
                print(f"  still at it after {spoken - begun:.0f} s", flush=True)
        if code:
            log.seek(0)
            raise BuildError(f"building {target.name} failed:\n{log.read()[-3000:]}")
    print(f"  built in {time.monotonic() - begun:.0f} s", flush=True)


def _go(source: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603
        ["go", *arguments],  # noqa: S607 - the user's own Go
        cwd=source,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildError(f"go {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def _environment() -> dict[str, str]:
    # go.mod names what is pinned; go.sum holds whatever else is taken along to its checksum.
    flags = [*os.environ.get("GOFLAGS", "").split(), "-mod=mod", "-buildvcs=false"]
    return {**os.environ, "GOFLAGS": " ".join(flags)}


if __name__ == "__main__":
    try:
        ensure()
    except BuildError as error:
        raise SystemExit(str(error)) from error
