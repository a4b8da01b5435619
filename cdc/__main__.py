"""`python -m cdc`: the processes and tools of change data capture, one subcommand each."""

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def topics() -> None:
    """Create the topics that are not there yet and bring their settings up to date."""
    from cdc.topics import main  # noqa: PLC0415 - each subcommand loads only what it uses

    main()


@app.command()
def subjects() -> None:
    """Set the registry's rule, and register the contracts of the topics."""
    from cdc.subjects import main  # noqa: PLC0415 - each subcommand loads only what it uses

    main()


@app.command()
def connector() -> None:
    """Keep the Debezium connector registered as its file says, and running."""
    from cdc.connect import main  # noqa: PLC0415 - each subcommand loads only what it uses

    main()


@app.command()
def projector() -> None:
    """Keep the read model up to date from the journal."""
    from cdc.projector_process import main  # noqa: PLC0415 - each subcommand loads only what it uses

    main()


@app.command()
def relay() -> None:
    """Fan the journal out to the topics of public events, exactly once."""
    from cdc.relay_process import main  # noqa: PLC0415 - each subcommand loads only what it uses

    main()


@app.command()
def reconcile(
    *,
    wait: Annotated[float, typer.Option(help="Seconds that the read model may take to catch up.")] = 0.0,
) -> None:
    """Prove that ledger, rows and read model tell the same; exit code 1 when they do not."""
    from cdc.reconcile_command import main  # noqa: PLC0415 - each subcommand loads only what it uses

    main(wait)


@app.command()
def pipeline() -> None:
    """Serve PipelineService, and prove ledger, rows and read model all the time."""
    from cdc.pipeline.process import main  # noqa: PLC0415 - each subcommand loads only what it uses

    main()


@app.command()
def rebuild(
    *,
    give_up: Annotated[
        bool, typer.Option("--give-up", help="Give up a rebuild that has not switched yet.")
    ] = False,
) -> None:
    """Fill a new generation of the read model from the rows, compare, switch; go on where one was left."""
    from cdc.rebuild_command import main  # noqa: PLC0415 - each subcommand loads only what it uses

    main(give_up=give_up)


if __name__ == "__main__":
    app()
