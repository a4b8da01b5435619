"""Where one reader of the journal puts the records that it cannot take."""

import structlog

from cdc.config import DeadLetterSettings
from cdc.consumer import Record
from cdc.dead_letter import Origin, headers_of, letter_of
from cdc.dead_letter_topic import DeadLettersFullError, DeadLettersUnavailableError, DeadLetterTopic
from cdc.faults import Fault
from cdc.publisher import Outgoing, Publisher

log = structlog.get_logger()


class DeadLetterBox:
    """The dead letters of the reader named like its group; at most as many as the settings allow.

    Every method blocks, and all but `check` are called from one thread at a time.
    """

    def __init__(self, config: DeadLetterSettings) -> None:
        self._config = config
        self._topic = DeadLetterTopic(config.bootstrap_servers, config.dead_letters_topic)
        self._full = False

    async def check(self) -> None:
        """Return while there is room; raise DeadLettersFullError from when a letter had none."""
        if self._full:
            raise DeadLettersFullError(f"{self._config.dead_letters_limit} of {self._config.group_id}")

    def is_full(self) -> bool:
        """Tell whether there is no room for another letter, as far as can be told."""
        try:
            return not self._has_room()
        except DeadLettersUnavailableError:
            return True

    def seal(self, source: str, record: Record, fault: Fault, *, tries: int = 0) -> Outgoing | None:
        """Return the dead letter of a record of a source, to be written; None if it has been written before.

        Raise DeadLettersFullError when there is no room for it, and DeadLettersUnavailableError.
        """
        origin = Origin(self._config.group_id, self._config.topic, source)
        letter = letter_of(origin, record, fault, tries=tries)
        has_room = self._has_room()
        if self._topic.has_seen(letter.letter_id):
            log.warning("a dead letter again", letter_id=letter.letter_id)
            return None
        if not has_room:
            if not self._full:
                log.critical("halted: deal with the dead letters", offset=record.offset, cause=letter.error)
            self._full = True
            raise DeadLettersFullError(f"{self._config.dead_letters_limit} of {letter.reader}")
        self._full = False
        log.error(
            "a record becomes a dead letter",
            letter_id=letter.letter_id,
            kind=letter.kind,
            cause=letter.error,
            tries=letter.retry_count,
        )
        headers = headers_of(letter, record)
        return Outgoing(self._topic.name, letter.letter_id.encode(), record.value or b"", headers)

    def put(self, source: str, record: Record, fault: Fault, *, tries: int = 0) -> None:
        """Write the dead letter of a record; return when it is on every replica in sync.

        Raise as `seal` does, and PublishError when that is not known: then nothing may pass the record.
        """
        letter = self.seal(source, record, fault, tries=tries)
        if letter is not None:
            name = f"{self._config.group_id}.{self._config.dead_letters_topic}"
            Publisher(self._config.bootstrap_servers, name).publish([letter], None)

    def _has_room(self) -> bool:
        mine = [one for one in self._topic.letters() if one.reader == self._config.group_id]
        return len(mine) < self._config.dead_letters_limit

    def close(self) -> None:
        """Close the connection."""
        self._topic.close()
