"""`python -m stack.issuer`: serve until told to end."""

import signal
import sys
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from serving import logs
from serving.identity_settings import is_loopback
from serving.settings import ListenAddress, Settings, load, split_address
from stack.issuer.keys import KeyRing
from stack.issuer.web import IssuerServer


class IssuerSettings(Settings):
    """Settings of the development issuer, from variables that begin with INVENTORY_ISSUER_."""

    model_config = SettingsConfigDict(env_prefix="INVENTORY_ISSUER_", frozen=True)

    listen: ListenAddress = Field(description="host:port on the loopback")
    password: SecretStr = Field(min_length=16, description="what whoever asks for a token must know")
    keys_file: Path = Field(description="where the keys are kept")
    rotate_seconds: float = Field(3600.0, ge=1, description="how long one key signs")

    @field_validator("listen")
    @classmethod
    def _is_near(cls, address: str) -> str:
        if not is_loopback(split_address(address)[0]):
            raise ValueError("the development issuer listens on the loopback alone: it lets everybody in")
        return address


def main() -> None:
    """Serve."""
    settings = load(IssuerSettings)
    logs.configure("info", "issuer")
    keys = KeyRing(settings.keys_file, every=settings.rotate_seconds)
    server = IssuerServer(split_address(settings.listen), keys, settings.password.get_secret_value())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with server:
        server.serve_forever()


if __name__ == "__main__":
    main()
