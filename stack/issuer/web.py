"""The issuer's few pages."""

import base64
import binascii
import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote_plus

import structlog

from stack.issuer.granting import DEVELOPMENT_GRANT, GrantError, grant
from stack.issuer.keys import KeyRing

MOST_BYTES = 8192
PATIENCE = 5.0
_log = structlog.get_logger()


class IssuerServer(ThreadingHTTPServer):
    """Serves the pages of one issuer at an address of the loopback."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], keys: KeyRing, password: str) -> None:
        super().__init__(address, Pages)
        self.keys = keys
        self.password = password
        self.issuer = f"http://{address[0]}:{self.server_address[1]}"


class Pages(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: IssuerServer
    timeout = PATIENCE
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer the discovery document or the key set."""
        issuer = self.server.issuer
        if self.path == "/.well-known/openid-configuration":
            self._answer(
                HTTPStatus.OK,
                {
                    "issuer": issuer,
                    "jwks_uri": f"{issuer}/jwks",
                    "token_endpoint": f"{issuer}/token",
                    "grant_types_supported": ["client_credentials", DEVELOPMENT_GRANT],
                    "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                    "id_token_signing_alg_values_supported": ["ES256"],
                    "response_types_supported": ["token"],
                    "subject_types_supported": ["public"],
                },
            )
        elif self.path == "/jwks":
            self._answer(HTTPStatus.OK, {"keys": self.server.keys.public()})
        else:
            self._answer(HTTPStatus.NOT_FOUND, {"error": "not_found"})

    def do_POST(self) -> None:
        """Answer with a token, or rotate the keys."""
        asked = self._form()
        if asked is None:
            self._answer(HTTPStatus.BAD_REQUEST, {"error": "invalid_request"})
            return
        try:
            if self.path == "/token":
                self._answer(HTTPStatus.OK, grant(asked, *self._of_server()))
            elif self.path == "/rotate":
                # Whoever may have a token may do this, too.
                grant(asked | {"grant_type": DEVELOPMENT_GRANT, "role": "operator"}, *self._of_server())
                self.server.keys.rotate()
                self._answer(HTTPStatus.OK, {"keys": len(self.server.keys.public())})
            else:
                self._answer(HTTPStatus.NOT_FOUND, {"error": "not_found"})
        except GrantError as error:
            status = HTTPStatus.UNAUTHORIZED if error.code == "invalid_client" else HTTPStatus.BAD_REQUEST
            self._answer(status, {"error": error.code, "error_description": str(error)})

    def _of_server(self) -> tuple[KeyRing, str, str]:
        return self.server.keys, self.server.issuer, self.server.password

    def _form(self) -> dict[str, str] | None:
        """Return the form that was sent, with the client of an Authorization header; None if it is none."""
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            self.close_connection = True
            return None
        try:
            form = dict(parse_qsl(self.rfile.read(int(length)).decode(), max_num_fields=20))
            kind, _, encoded = self.headers.get("authorization", "").partition(" ")
            if kind.lower() == "basic":
                name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
                form |= {"client_id": unquote_plus(name), "client_secret": unquote_plus(secret)}
        except (ValueError, binascii.Error):
            return None
        return form

    def _answer(self, status: HTTPStatus, answer: dict[str, object]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("cache-control", "no-store")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form: str, *values: object) -> None:
        """Log what was asked: never what was answered."""
        _log.info("request", request=form % values)
