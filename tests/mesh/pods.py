"""Pods: a network namespace, the rules of Istio's agent in it, a sidecar, and what it stands before.

The Pod object that the API holds is the template of the manifest, so that every label, account and annotation
that decides something in the mesh is the manifest's own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from stack.envoy_proxy import BINARY
from tests.deploy.manifests import ROOT, Manifest
from tests.mesh.builds import Programs
from tests.mesh.control_plane import ISTIOD, ControlPlane
from tests.mesh.network import CONTROL_ADDRESS, NETWORK, add_pod, inside, run
from tests.mesh.processes import Processes, answers, wait_for

PROXY_USER = 1337
# As the injector has it done: all that comes and goes passes the proxy, but what asks the proxy itself.
REDIRECTION = [
    "istio-iptables",
    *("-p", "15001", "-z", "15006", "-u", "1337", "-g", "1337", "-m", "REDIRECT"),
    *("-i", "*", "-x", "", "-b", "*", "-d", "15090,15021,15020"),
]
# All that Envoy counts, so that a test can ask.
COUNTED = {"inclusionRegexps": [".*"]}


@dataclass
class Pod:
    """A pod that runs."""

    name: str
    address: str
    network: str
    app: subprocess.Popen[bytes] | None = None

    @property
    def counters(self) -> dict[str, int]:
        """What its Envoy has counted, by the names of Envoy."""
        stats = self._administration("stats")["stats"]
        return {one["name"]: one["value"] for one in stats if "value" in one}

    def hosts(self, cluster: str) -> dict[str, Any]:
        """Return what its Envoy knows of the endpoints of a cluster, by their addresses."""
        clusters = self._administration("clusters")["cluster_statuses"]
        (found,) = [one for one in clusters if one["name"] == cluster]
        return {host["address"]["socket_address"]["address"]: host for host in found["host_statuses"]}

    def _administration(self, page: str) -> dict[str, Any]:
        # It is on the loopback of the pod.
        ask = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())"
        url = f"http://127.0.0.1:15000/{page}?format=json"
        found: dict[str, Any] = json.loads(run(*inside(self.network, sys.executable, "-c", ask, url)))
        return found


class Pods:
    """Makes pods, one address after the other."""

    def __init__(
        self, programs: Programs, processes: Processes, control: ControlPlane, hosts: Mapping[str, str]
    ) -> None:
        self._processes = processes
        # Where the proxies' user can get at them.
        processes.folder.chmod(0o711)
        self._binaries = processes.folder / "binaries"
        self._binaries.mkdir(0o755)
        for program in (programs.istio / "pilot-agent", programs.istio / "envoy_bootstrap.json", BINARY):
            shutil.copy(program, self._binaries)
        self._control = control
        self._hosts = {ISTIOD: CONTROL_ADDRESS, **hosts}
        self._last = 9

    def start(
        self,
        name: str,
        namespace: str,
        template: Manifest,
        *,
        command: list[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Pod:
        """Start a pod from a template: its sidecar, or gateway, and its program if there is one.

        Returns when the sidecar is ready; the program may not be yet.
        """
        self._last += 1
        address = f"{NETWORK}.{self._last}"
        pod = Pod(name, address, add_pod(name, address, self._hosts))
        self._tell(pod, namespace, template)
        gateway = "inject.istio.io/templates" in template["metadata"].get("annotations", {})
        if not gateway:
            run(*inside(pod.network, str(self._binaries / "pilot-agent"), *REDIRECTION))
        proxy = self._start_proxy(pod, namespace, template, kind="router" if gateway else "sidecar")

        def ready() -> bool:
            assert proxy.poll() is None, self._processes.log(f"{name}-proxy")
            return answers(f"http://{address}:15021/healthz/ready")

        wait_for(f"the proxy of {name}", ready, told=lambda: self._processes.log(f"{name}-proxy"))
        if command is not None:
            self.run(pod, command, environment or {})
        return pod

    def run(self, pod: Pod, command: list[str], environment: Mapping[str, str]) -> None:
        """Run the program of a pod."""
        given = {"PATH": os.environ["PATH"], "HOME": str(self._processes.folder), **environment}
        pod.app = self._processes.start(pod.name, inside(pod.network, *command), given, cwd=ROOT)

    def log(self, pod: Pod) -> str:
        """Return the end of what a pod's program has said."""
        return self._processes.log(pod.name)

    def _tell(self, pod: Pod, namespace: str, template: Manifest) -> None:
        spec = {**template["spec"], "nodeName": "node"}
        metadata = {**template["metadata"], "name": pod.name, "namespace": namespace}
        self._control.apply([{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}])
        status = {
            "phase": "Running",
            "podIP": pod.address,
            "podIPs": [{"ip": pod.address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        patch = json.dumps({"status": status})
        self._control.kubectl(
            "patch", "pod", pod.name, "--namespace", namespace, "--subresource=status", "--patch", patch
        )

    def _start_proxy(
        self, pod: Pod, namespace: str, template: Manifest, *, kind: str
    ) -> subprocess.Popen[bytes]:
        account = template["spec"]["serviceAccountName"]
        folder = self._processes.folder / pod.name
        secrets = folder / "var/run/secrets"
        (secrets / "tokens").mkdir(parents=True)
        (secrets / "istio").mkdir()
        (secrets / "tokens/istio-token").write_text(self._control.token(namespace, account))
        (secrets / "istio/root-cert.pem").write_text(self._control.root_certificate(namespace))
        annotated = template["metadata"].get("annotations", {}).get("proxy.istio.io/config", "{}")
        wanted: dict[str, Any] = yaml.safe_load(annotated)
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, PROXY_USER, PROXY_USER)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "POD_NAME": pod.name,
            "POD_NAMESPACE": namespace,
            "INSTANCE_IP": pod.address,
            "SERVICE_ACCOUNT": account,
            "CA_ADDR": f"{ISTIOD}:15012",
            "JWT_POLICY": "third-party-jwt",
            "PILOT_CERT_PROVIDER": "istiod",
            "TRUST_DOMAIN": "cluster.local",
            "ISTIO_META_CLUSTER_ID": "Kubernetes",
            "ISTIO_METAJSON_LABELS": json.dumps(template["metadata"]["labels"]),
            "PROXY_CONFIG": json.dumps(
                {
                    "discoveryAddress": f"{ISTIOD}:15012",
                    "binaryPath": str(self._binaries / BINARY.name),
                    "configPath": str(folder / "proxy"),
                    "concurrency": 1,
                    "proxyStatsMatcher": COUNTED,
                }
            ),
            "ISTIO_KUBE_APP_PROBERS": json.dumps(probers(template["spec"])),
            **wanted.get("proxyMetadata", {}),
        }
        command = [
            "setpriv",
            f"--reuid={PROXY_USER}",
            f"--regid={PROXY_USER}",
            "--clear-groups",
            str(self._binaries / "pilot-agent"),
            "proxy",
            kind,
            f"--domain={namespace}.svc.cluster.local",
            f"--templateFile={self._binaries / 'envoy_bootstrap.json'}",
        ]
        return self._processes.start(
            f"{pod.name}-proxy", inside(pod.network, *command), environment, cwd=folder
        )


def probers(spec: Manifest) -> dict[str, Any]:
    """Return what the injector tells the agent of a pod's probes: those of gRPC, by the agent's own paths."""
    return {
        f"/app-health/{container['name']}/{path}": {
            "grpc": container[probe]["grpc"],
            "timeoutSeconds": container[probe]["timeoutSeconds"],
        }
        for container in spec["containers"]
        for probe, path in (("readinessProbe", "readyz"), ("startupProbe", "startupz"))
        if "grpc" in container.get(probe, {})
    }


def probed(pod: Pod, container: str) -> bool:
    """Ask as the kubelet does whether a pod is ready."""
    return answers(f"http://{pod.address}:15020/app-health/{container}/readyz")
