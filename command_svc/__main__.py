"""`python -m command_svc`: serve the commands until SIGTERM; `archive…` puts an old month away."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


Month = Annotated[str, typer.Option(help="The month, such as 2023-01.")]
Folder = Annotated[
    Path, typer.Option(help="Where the file goes.", exists=True, file_okay=False, writable=True)
]


@app.callback(invoke_without_command=True)
def serve(context: typer.Context) -> None:
    """Read the settings, then serve, in several processes if asked."""
    if context.invoked_subcommand is not None:
        return
    from command_svc.config import CommandSettings  # noqa: PLC0415 - each command loads only what it uses
    from command_svc.server import assemble  # noqa: PLC0415
    from serving import logs, server, settings, workers  # noqa: PLC0415

    config = settings.load(CommandSettings)
    logs.configure(config.log_level, "command_svc")
    workers.run(config, lambda: server.run(lambda: assemble(config)))


@app.command()
def archive(*, month: Month, folder: Folder) -> None:
    """Write an old month of the ledger to a Parquet file, prove the file, then drop the month."""
    from command_svc.archive import main  # noqa: PLC0415 - each command loads only what it uses

    main(month, folder)


@app.command()
def archive_audit(*, month: Month, folder: Folder) -> None:
    """Write an old month of the audit log to a Parquet file with its seals, prove it, then drop the month."""
    from command_svc.audit_retention import main  # noqa: PLC0415

    main(month, folder)


@app.command()
def verify_audit(
    *, file: Annotated[Path, typer.Option(help="The file of a month.", exists=True, dir_okay=False)]
) -> None:
    """Prove a file of the audit log, and print the last seal of each of its days."""
    from command_svc.audit_retention import verify  # noqa: PLC0415

    verify(file)


if __name__ == "__main__":
    app()
