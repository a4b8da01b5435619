"""The issuer's keys: one that signs, the next one, and those that have signed."""

import json
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from joserfc.jwk import ECKey

OLD_KEYS = 2
"""How many keys that sign no more are still published, for the tokens they have signed."""


class KeyRing:
    """Keys in one private file; the next is published before it signs, so that verifiers know it by then."""

    def __init__(self, file: Path, *, every: float, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._every = every
        self._clock = clock
        self._lock = Lock()
        self._keys: list[ECKey] = []
        self._rotated = 0.0
        if file.exists():
            kept = json.loads(file.read_text())
            self._keys, self._rotated = [ECKey.import_key(key) for key in kept["keys"]], kept["rotated"]
        else:
            self._keys = [_new_key(), _new_key()]
            self._keep()

    def signing(self) -> ECKey:
        """Return the key to sign with now, another one every so often."""
        with self._lock:
            if self._clock() - self._rotated >= self._every:
                self._rotate()
            return self._keys[-2]

    def rotate(self) -> None:
        """Sign with the next key from now on."""
        with self._lock:
            self._rotate()

    def public(self) -> list[dict[str, Any]]:
        """Return what everybody may know of the keys."""
        with self._lock:
            return [dict(key.as_dict(private=False)) for key in self._keys]

    def _rotate(self) -> None:
        self._keys = [*self._keys, _new_key()][-2 - OLD_KEYS :]
        self._keep()

    def _keep(self) -> None:
        self._rotated = self._clock()
        kept = {"keys": [key.as_dict(private=True) for key in self._keys], "rotated": self._rotated}
        draft = self._file.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(kept, file)
        draft.replace(self._file)


def _new_key() -> ECKey:
    return ECKey.generate_key("P-256", {"kid": str(uuid.uuid4()), "use": "sig", "alg": "ES256"})
