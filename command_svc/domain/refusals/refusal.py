"""What every refusal says."""

from __future__ import annotations

from typing import ClassVar


class Refusal(Exception):  # noqa: N818 - the domain's own word; its kinds end in Error
    """A command that cannot be carried out.

    `reason` is a name of the published ErrorReason enum without its prefix; `figures` are the facts
    behind it, by the names that the enum documents.
    """

    reason: ClassVar[str]

    def __init__(self, message: str, **figures: object) -> None:
        super().__init__(message)
        self.figures = {name: str(value) for name, value in figures.items()}
