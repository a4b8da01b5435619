"""The passwords of a stack: made once, kept in one private file, handed on by environment only."""

import os
import secrets

from stack.home import Home

NAMES = (
    "POSTGRES_PASSWORD",
    "INVENTORY_OWNER_PASSWORD",
    "INVENTORY_COMMAND_PASSWORD",
    "INVENTORY_QUERY_PASSWORD",
    "INVENTORY_CDC_PASSWORD",
    "INVENTORY_ARCHIVE_PASSWORD",
    "INVENTORY_AUDIT_PASSWORD",
    "INVENTORY_REFUSALS_PASSWORD",
    "INVENTORY_REGISTRY_PASSWORD",
    "INVENTORY_ISSUER_PASSWORD",
    "SUPERVISOR_PASSWORD",
)


def load(home: Home) -> dict[str, str]:
    """Return every password of NAMES, generating those the stack does not have yet.

    The file is `secrets.env` in the stack's folder, readable by its owner alone.
    """
    path = home.folder / "secrets.env"
    known: dict[str, str] = {}
    if path.exists():
        lines = path.read_text().splitlines()
        known = dict(line.split("=", 1) for line in lines if "=" in line)
    missing = [name for name in NAMES if name not in known]
    if missing:
        # Hexadecimal needs no quoting anywhere: not in a URL, a shell or an ini file.
        known |= {name: secrets.token_hex(24) for name in missing}
        draft = path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.writelines(f"{name}={value}\n" for name, value in known.items())
        draft.replace(path)
    return known
