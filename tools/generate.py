"""Generate gen/ from proto/.

`python tools/generate.py` replaces gen/. With `--check` it changes nothing and fails when gen/ is not
exactly what the contracts generate.
"""

from __future__ import annotations

import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INCLUDES = ("proto", "third_party")
# Contracts of others whose Python code no package of ours carries.
VENDORED = ("third_party/buf/validate/validate.proto",)


def protoc(protos: list[str], *outputs: str) -> None:
    """Run the protoc of grpcio-tools on `protos` (paths from the root); raises CalledProcessError."""
    bin_dir = Path(sys.executable).parent
    plugins = [f"--plugin=protoc-gen-{name}={bin_dir}/protoc-gen-{name}" for name in ("mypy", "mypy_grpc")]
    includes = [f"-I{include}" for include in INCLUDES]
    command = [sys.executable, "-m", "grpc_tools.protoc", *includes, *plugins, *outputs, *protos]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 - fixed arguments


def generate(target: Path) -> None:
    """Write all generated code below `target`, an existing empty folder."""
    protos = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "proto").rglob("*.proto"))
    services = [path for path in protos if path.endswith("_service.proto")]
    protoc([*protos, *VENDORED], f"--python_out={target}", f"--mypy_out=quiet:{target}")
    protoc(services, f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}")
    (target / "inventory" / "py.typed").touch()


def differences(left: Path, right: Path) -> list[str]:
    """Return the relative paths that are not the same in both folders."""

    def files(folder: Path) -> set[str]:
        return {
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    ours, theirs = files(left), files(right)
    _, changed, unreadable = filecmp.cmpfiles(left, right, ours & theirs, shallow=False)
    return sorted({*(ours ^ theirs), *changed, *unreadable})


def main() -> int:
    """Generate, or with --check compare; return the exit code."""
    gen = ROOT / "gen"
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        if "--check" in sys.argv[1:]:
            stale = differences(gen, fresh)
            for path in stale:
                print(f"gen/{path} is not what proto/ generates: run `make gen`", file=sys.stderr)
            return 1 if stale else 0
        shutil.rmtree(gen, ignore_errors=True)
        shutil.copytree(fresh, gen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
