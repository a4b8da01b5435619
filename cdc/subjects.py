"""What the registry must know before anything is captured: the rule, and the contracts of the topics.

The schemas of the catalogue's rows are registered by the connector, as the tables are; the rule holds for
them as well.
"""

import logging
from collections.abc import Mapping
from types import MappingProxyType

import structlog
from google.protobuf.descriptor import FileDescriptor

from cdc.config import SubjectsSettings
from cdc.outlets import FILES
from cdc.schemas import IncompatibleSchemaError, SchemaRegistry
from cdc.topics import JOURNAL, STOCK_COMMANDS, STOCK_FAILURES
from inventory.command.v1 import stock_command_failure_pb2, stock_command_service_pb2
from inventory.journal.v1 import transaction_pb2
from serving import logs, settings

CONTRACTS: Mapping[str, FileDescriptor] = MappingProxyType(
    {
        JOURNAL: transaction_pb2.DESCRIPTOR,
        STOCK_COMMANDS: stock_command_service_pb2.DESCRIPTOR,
        STOCK_FAILURES: stock_command_failure_pb2.DESCRIPTOR,
        **{f"inventory.{name}.events": file for name, file in FILES.items()},
    }
)
"""The file that describes the records of each topic whose records are protobuf."""

log = structlog.get_logger()


def main() -> None:
    """Set the rule and register the contracts; exit code 1 when the registry refuses one."""
    config = settings.load(SubjectsSettings)
    logs.configure("info", "cdc.subjects")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with SchemaRegistry(config.registry_url) as registry:
        registry.enforce()
        for topic, file in CONTRACTS.items():
            try:
                number = registry.register(f"{topic}-value", file)
            except IncompatibleSchemaError as error:
                log.critical("the registry refuses a schema", topic=topic, cause=str(error))
                raise SystemExit(1) from None
            log.info("schema registered", topic=topic, id=number)
