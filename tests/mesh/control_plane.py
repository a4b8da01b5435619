"""A real Kubernetes API and a real istiod, without a cluster: nothing but the API tells what there is."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.deploy.manifests import ROOT, Manifest, kubectl
from tests.mesh.builds import Programs
from tests.mesh.network import CONTROL, CONTROL_ADDRESS, inside, run
from tests.mesh.processes import Processes, answers, wait_for

API = "https://127.0.0.1:6443"
SYSTEM = "istio-system"
SERVICE_NETWORK = "10.202.0.0/16"
MESH = ROOT / "istio" / "mesh.yaml"
ISTIOD = f"istiod.{SYSTEM}.svc"


class ControlPlane:
    """etcd, kube-apiserver and istiod in the control plane's namespace."""

    def __init__(self, programs: Programs, processes: Processes) -> None:
        self._programs = programs
        self._processes = processes
        self._folder = processes.folder
        self._config = self._folder / "kubeconfig"

    def start(self) -> None:
        """Start all three, and return when each is ready."""
        self._write_credentials()
        self._start("etcd", [str(self._programs.etcd / "etcd"), f"--data-dir={self._folder / 'etcd'}"])
        key = str(self._folder / "service-accounts.pem")
        self._start(
            "kube-apiserver",
            [
                str(self._programs.kubernetes / "kube-apiserver"),
                "--etcd-servers=http://127.0.0.1:2379",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                "--secure-port=6443",
                f"--cert-dir={self._folder / 'api'}",
                f"--service-cluster-ip-range={SERVICE_NETWORK}",
                "--endpoint-reconciler-type=none",
                "--authorization-mode=AlwaysAllow",
                f"--token-auth-file={self._folder / 'tokens.csv'}",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
            ],
        )
        wait_for("kube-apiserver", self._api_is_ready, told=lambda: self._processes.log("kube-apiserver"))
        self.kubectl("create", "namespace", SYSTEM)
        for definitions in (self._programs.istio / "crds.yaml", self._programs.cloudnative_pg / "crds"):
            self.kubectl("apply", "--server-side", "-f", str(definitions))
        self.kubectl("wait", "--for=condition=established", "--timeout=120s", "crd", "--all")
        mesh = self._folder / "mesh.yaml"
        mesh.write_text(yaml.safe_dump(yaml.safe_load(MESH.read_text())["meshConfig"]))
        self._start(
            "istiod",
            [
                str(self._programs.istio / "pilot-discovery"),
                "discovery",
                f"--meshConfig={mesh}",
                f"--kubeconfig={self._config}",
                f"--grpcAddr={CONTROL_ADDRESS}:15010",
                f"--secureGRPCAddr={CONTROL_ADDRESS}:15012",
                f"--httpAddr={CONTROL_ADDRESS}:15080",
                "--httpsAddr=",
            ],
            POD_NAMESPACE=SYSTEM,
            PILOT_CERT_PROVIDER="istiod",
            # Filters of Istio's own build of Envoy, which the stock one does not have.
            PILOT_ENABLE_METADATA_EXCHANGE="false",
            PILOT_ENABLE_ALPN_FILTER="false",
        )
        wait_for("istiod", self._istiod_is_ready, told=lambda: self._processes.log("istiod"))

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl and return what it prints."""
        command = inside(CONTROL, str(kubectl()), f"--kubeconfig={self._config}", *arguments)
        return run(*command, given=given)

    def kubectl_complaints(self, *arguments: str, given: str) -> tuple[int, str]:
        """Run kubectl and return its exit code and all that it says, warnings included."""
        command = inside(CONTROL, str(kubectl()), f"--kubeconfig={self._config}", *arguments)
        done = subprocess.run(  # noqa: S603
            command, input=given, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def apply(self, manifests: list[Manifest]) -> None:
        """Have the API server check and keep manifests."""
        self.kubectl(
            "apply",
            "--server-side",
            "--force-conflicts",
            "--validate=strict",
            "-f",
            "-",
            given=yaml.safe_dump_all(manifests),
        )

    def get(self, *arguments: str) -> Any:  # noqa: ANN401 - as the API says
        """Return what the API knows of something."""
        return json.loads(self.kubectl("get", "--output=json", *arguments))

    def token(self, namespace: str, account: str) -> str:
        """Return a service account's token for istiod."""
        arguments = ("--audience=istio-ca", "--duration=1h", f"--namespace={namespace}")
        return self.kubectl("create", "token", account, *arguments).strip()

    def root_certificate(self, namespace: str) -> str:
        """Return the certificate of the mesh's CA, as istiod gives it to each namespace."""
        find = ("configmap", "--namespace", namespace, "--field-selector=metadata.name=istio-ca-root-cert")
        wait_for("the mesh's root certificate", lambda: bool(self.get(*find)["items"]))
        certificate: str = self.get(*find)["items"][0]["data"]["root-cert.pem"]
        return certificate

    def _start(self, name: str, command: list[str], **environment: str) -> None:
        given = {"PATH": os.environ["PATH"], "HOME": str(self._folder), **environment}
        self._processes.start(name, inside(CONTROL, *command), given, cwd=self._folder)

    def _api_is_ready(self) -> bool:
        code, _ = self.kubectl_complaints("get", "--raw=/readyz", given="")
        return code == 0

    def _istiod_is_ready(self) -> bool:
        return answers(f"http://{CONTROL_ADDRESS}:15080/ready")

    def _write_credentials(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        (self._folder / "service-accounts.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        token = secrets.token_urlsafe()
        (self._folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "mesh",
            "contexts": [{"name": "mesh", "context": {"cluster": "mesh", "user": "admin"}}],
            # Its certificate is its own; the way there is a loopback that nobody else is on.
            "clusters": [{"name": "mesh", "cluster": {"server": API, "insecure-skip-tls-verify": True}}],
            "users": [{"name": "admin", "user": {"token": token}}],
        }
        self._config.write_text(yaml.safe_dump(config))
        for secret in ("service-accounts.pem", "tokens.csv", "kubeconfig"):
            Path(self._folder / secret).chmod(0o600)
