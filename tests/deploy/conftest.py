"""What the tests of the manifests share."""

from __future__ import annotations

import pytest

from tests.deploy.manifests import OVERLAYS, Manifest, overlay


@pytest.fixture(scope="module", params=OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    """Give everything that an overlay deploys."""
    return overlay(request.param)
