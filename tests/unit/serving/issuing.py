"""An issuer of tokens for tests: keys of its own, and every way to make a token wrong."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

ISSUER = "https://issuer.example/realms/shop"
AUDIENCE = "inventory"


class Issuer:
    """Has a key of each kind, and publishes a key set in a file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.elliptic = ECKey.generate_key("P-256", {"kid": "elliptic", "use": "sig"})
        self.rsa = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig", "alg": "RS256"})
        self.publish(self.elliptic, self.rsa)

    def publish(self, *keys: ECKey | RSAKey | OctKey) -> None:
        """Replace the key set."""
        public = [key.as_dict(private=isinstance(key, OctKey)) for key in keys]
        self.file.write_text(json.dumps({"keys": public}))

    def token(
        self,
        key: ECKey | RSAKey | OctKey | None = None,
        /,
        header: dict[str, Any] | None = None,
        **claims: object,
    ) -> str:
        """Return a token for a viewer that is good for five minutes, changed; a claim of None is left out."""
        key = key or self.elliptic
        algorithm = {"EC": "ES256", "RSA": "RS256", "oct": "HS256"}[key.key_type]
        now = int(time.time())
        given = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "user-1",
            "iat": now,
            "exp": now + 300,
            "roles": ["viewer"],
        } | claims
        wanted = {name: value for name, value in given.items() if value is not None}
        headers = {"alg": algorithm, "kid": key.kid} | (header or {})
        return jwt.encode(headers, wanted, key, algorithms=[algorithm])
