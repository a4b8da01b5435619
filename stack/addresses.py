"""The addresses of a stack as its processes, its tests and its tools need them."""

from dataclasses import dataclass

from client.tls import Tls
from stack import credentials
from stack.certificates import Certificates
from stack.home import Home
from stack.ports import HOST

DATABASE = "inventory"
REGISTRY_DATABASE = "registry"
ROLES = ("owner", "command", "query", "cdc", "archive", "audit", "refusals", "registry")


@dataclass(frozen=True)
class Addresses:
    """Every address of one stack. Those with a password are left out of its repr."""

    home: Home

    @property
    def edge(self) -> str:
        """`host:port` callers use, for all services; it speaks TLS."""
        return self.home.ports.address("edge")

    def tls(self, name: str = "") -> Tls:
        """Return how to reach what speaks TLS: as a workload that has an identity, or as nobody."""
        certificates = Certificates(self.home)
        identity = certificates.identity(name) if name else None
        return Tls(certificates.ca, identity, identity)

    @property
    def command(self) -> str:
        """`host:port` of the command service itself, behind its sidecar; it speaks TLS, with that alone."""
        return self.home.ports.address("command")

    @property
    def query(self) -> str:
        """`host:port` of the query service itself, behind its sidecar; it speaks TLS, with that alone."""
        return self.home.ports.address("query")

    @property
    def projector(self) -> str:
        """`host:port` of the projector's health service."""
        return self.home.ports.address("projector")

    @property
    def projector_standby(self) -> str:
        """`host:port` of the health service of the other projector: one of the two reads."""
        return self.home.ports.address("projector_standby")

    @property
    def relay(self) -> str:
        """`host:port` of the relay's health service."""
        return self.home.ports.address("relay")

    @property
    def pipeline(self) -> str:
        """`host:port` of PipelineService itself, behind its sidecar; it speaks TLS, with that alone."""
        return self.home.ports.address("pipeline")

    @property
    def audit(self) -> str:
        """`host:port` of the receiver of what proxies refuse; it speaks TLS, with those alone."""
        return self.home.ports.address("audit")

    @property
    def issuer(self) -> str:
        """URL of the development issuer, as its tokens name it."""
        return f"http://{self.home.ports.address('issuer')}"

    @property
    def redis_url(self) -> str:
        """URL of Valkey."""
        return f"redis://{self.home.ports.address('valkey')}/0"

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` of the broker."""
        return self.home.ports.address("broker")

    @property
    def connect_url(self) -> str:
        """URL of Kafka Connect's REST interface."""
        return f"http://{self.home.ports.address('connect')}"

    @property
    def registry_url(self) -> str:
        """URL of the schema registry; its Confluent interface is below `/apis/ccompat/v7`."""
        return f"http://{self.home.ports.address('registry')}"

    def metrics(self, program: str) -> str:
        """`host:port` of the page of metrics of a program of Inventory's."""
        return self.home.ports.address(f"{program}-metrics")

    def postgres_url(self, role: str) -> str:
        """Return the database URL, password included, of one of ROLES or of `postgres`, the superuser."""
        passwords = credentials.load(self.home)
        user = "postgres" if role == "postgres" else f"inventory_{role}"
        database = {"postgres": "postgres", "registry": REGISTRY_DATABASE}.get(role, DATABASE)
        password = passwords[f"{user.upper()}_PASSWORD"]
        # The bundled PostgreSQL is built without TLS; some drivers insist on it unless told.
        return (
            f"postgresql://{user}:{password}@{HOST}:{self.home.ports['postgres']}/{database}?sslmode=disable"
        )
