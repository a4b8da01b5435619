"""Programs of the system that tests need, installed where that can be done."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def installed(name: str) -> str:
    """Return the path of a program whose Debian package has its name; the test fails if it cannot be had."""
    if shutil.which(name) is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            pytest.fail(f"{name} is needed: install it (Debian: `apt-get install {name}`)")
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", name]):
            subprocess.run(["apt-get", *command], check=True, capture_output=True)  # noqa: S603, S607
    found = shutil.which(name)
    assert found
    return found
