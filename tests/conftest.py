"""What all tests share."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.stack_fixture import RunningStack, running_stack

# A busy machine is no finding.
settings.register_profile("inventory", deadline=None)
settings.load_profile("inventory")


@pytest.fixture(scope="session")
def stack() -> Iterator[RunningStack]:
    """Give the tests' own running stack, started when the first test asks for it."""
    with running_stack("test") as running:
        yield running
