"""Generate what follows from the tables of roles and of limits: for people, for the door, for the mesh.

`python tools/roles.py` writes them. With `--check` it changes nothing and fails when one of them is not
exactly what the tables say.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import door
import mesh_limits
import mesh_refusals
import mesh_ways
import openapi
import transcoding

from inventory.type.v1.access_pb2 import Role
from inventory.type.v1.stock_pb2 import MovementReason
from serving.access import ACCESS, Access, role_name, role_named
from stack.workloads import NAMESPACE, WORKLOADS

ROOT = Path(__file__).resolve().parent.parent
ROLES = [role for role in Role.values() if role != Role.ROLE_UNSPECIFIED]
# The workload that serves a package, or one service of it; what is not ours, each of them serves.
SERVED_BY = {
    "inventory.admin.v1.AuditService": "query",
    "inventory.command.v1": "command",
    "inventory.query.v1": "query",
    "inventory.admin.v1": "pipeline",
}

ROLES_PAGE = """# Who may call what

Generated from the options of the methods in `proto/` (`make gen`); [identity](identity.md) says who \
callers are, [ADR 19](adr/0019-the-table-of-roles-stands-in-the-contracts.md) why the table stands there.

**S**: asks for a step-up. **s**: asks for one where the request names one of the reasons below. **L**: a \
clerk acts at own locations alone. What a member of a batch or a stream may do, its own method's row says.
"""


def services() -> dict[str, dict[str, Access]]:
    """Return the methods of every service, by their names."""
    found: dict[str, dict[str, Access]] = defaultdict(dict)
    for path, access in sorted(ACCESS.items()):
        _, service, method = path.split("/")
        found[service][method] = access
    return found


def roles_page() -> str:
    """Return docs/roles.md."""
    lines = [ROLES_PAGE]
    reasons: dict[str, str] = {}
    for service, methods in services().items():
        lines.append(f"## {service}\n")
        lines.append(f"| method | {' | '.join(role_name(role).replace('_', ' ') for role in ROLES)} | |")
        lines.append(f"|---|{':-:|' * len(ROLES)}---|")
        for method, access in methods.items():
            marks = " | ".join("x" if role in access.roles else " " for role in ROLES)
            notes = (
                ["S"] * access.step_up + ["s"] * bool(access.step_up_reasons) + ["L"] * access.location_scoped
            )
            lines.append(f"| {method} | {marks} | {' '.join(notes)} |")
            if access.step_up_reasons:
                reasons[method] = ", ".join(
                    MovementReason.Name(reason).removeprefix("MOVEMENT_REASON_")
                    for reason in sorted(access.step_up_reasons)
                )
        lines.append("")
    lines.append("## Reasons that ask for a step-up\n\n| method | reasons |\n|---|---|")
    lines += [f"| {method} | {named} |" for method, named in sorted(reasons.items())]
    return "\n".join(lines) + "\n"


def authorization_policies() -> str:
    """Return the Istio policies: one for each workload, allowing what is listed and so nothing else."""
    lines = ["# Generated from the table of roles: `make gen`."]
    for workload in sorted(set(SERVED_BY.values())):
        lines += [
            "---",
            "apiVersion: security.istio.io/v1",
            "kind: AuthorizationPolicy",
            f"metadata:\n  name: {workload}-roles",
            "spec:",
            f"  selector:\n    matchLabels:\n      app.kubernetes.io/name: {workload}",
            "  action: ALLOW\n  rules:",
        ]
        by_roles: dict[frozenset[Role.ValueType], list[str]] = defaultdict(list)
        for path, access in paths_of(workload):
            by_roles[access.roles].append(path)
        for roles in sorted(by_roles, key=sorted):
            names = [role_name(role) for role in sorted(roles)]
            lines += ["    - to:", *_operation(by_roles[roles])]
            lines += [
                "      when:",
                '        - key: "request.auth.claims[roles]"',
                f"          values: [{', '.join(names)}]",
            ]
        for name, role in WORKLOADS.items():
            allowed = [path for path, access in paths_of(workload) if role_named(role) in access.roles]
            if allowed:
                # Whatever the trust domain of the mesh.
                principal = f"*/ns/{NAMESPACE}/sa/{name}"
                lines += ["    - from:", f'        - source:\n            principals: ["{principal}"]']
                lines += ["      to:", *_operation(allowed)]
    return "\n".join(lines) + "\n"


def paths_of(workload: str) -> Iterator[tuple[str, Access]]:
    """Yield the methods that a workload serves."""
    for path, access in sorted(ACCESS.items()):
        service = path[1:].rpartition("/")[0]
        package = service.rpartition(".")[0]
        if SERVED_BY.get(service, SERVED_BY.get(package, workload)) == workload:
            yield path, access


def _operation(paths: Iterable[str]) -> list[str]:
    return ["        - operation:", "            methods: [POST]", "            paths:"] + [
        f"              - {path}" for path in paths
    ]


OUTPUTS = {
    "envoy/generated/refusals.json": door.refusals,
    "envoy/generated/roles.json": door.access_filter,
    "envoy/generated/sidecar-refusals.json": door.sidecar_refusals,
    "envoy/generated/transcoder.json": transcoding.transcoder_filter,
    "docs/openapi.json": openapi.document,
    "docs/roles.md": roles_page,
    "istio/gateway/limits.yaml": mesh_limits.gateway,
    "istio/gateway/origins.yaml": mesh_ways.origins,
    "istio/gateway/refusals.yaml": mesh_refusals.gateway,
    "istio/gateway/ways-in.yaml": mesh_ways.ways_in,
    "istio/generated/authorization-policies.yaml": authorization_policies,
    "istio/services/limits.yaml": mesh_limits.services,
    "istio/services/refusals.yaml": mesh_refusals.services,
}


def main() -> int:
    """Generate, or with --check compare; return the exit code."""
    stale = 0
    for name, make in OUTPUTS.items():
        path, text = ROOT / name, make()
        if "--check" not in sys.argv[1:]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            print(f"{name} is not what the tables say: run `make gen`", file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
