"""The keeper of the Debezium connector: registered as its file says, and running, for as long as this runs.

Kafka Connect never restarts a failed task by itself, and a failed task lets PostgreSQL pile up its log.
"""

import json
import logging
import signal
import time
from pathlib import Path
from threading import Event
from typing import Any, cast

import httpx
import structlog

from cdc.config import ConnectorSettings
from serving import logs, settings

FIRST_BACKOFF_SECONDS = 1.0
REQUEST_TIMEOUT_SECONDS = 15.0

log = structlog.get_logger()

Config = dict[str, str]


class Keeper:
    """Compares what runs with what should, one look at a time."""

    def __init__(self, config: ConnectorSettings, client: httpx.Client) -> None:
        self._settings = config
        self._client = client
        self._path = f"/connectors/{config.connector_name}"
        self._seen: str | None = None
        self._backoff = FIRST_BACKOFF_SECONDS
        self._restart_at = 0.0

    def look(self) -> None:
        """Register the configuration if it is not what runs, and restart what has failed.

        Raises httpx.HTTPError when Kafka Connect does not answer, or refuses; the next look tries again.
        """
        wanted = read(self._settings.connector_file)
        if self._config() != wanted:
            self._client.put(f"{self._path}/config", json=wanted).raise_for_status()
            log.info("connector registered", connector=self._settings.connector_name)
        self._heal()

    def _config(self) -> Config | None:
        response = self._client.get(f"{self._path}/config")
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        config = cast("Config", response.raise_for_status().json())
        # Connect adds the name by itself.
        return {key: value for key, value in config.items() if key != "name"}

    def _heal(self) -> None:
        response = self._client.get(f"{self._path}/status")
        if response.status_code == httpx.codes.NOT_FOUND:
            # Registered a moment ago: the status follows.
            return
        status = cast("dict[str, Any]", response.raise_for_status().json())
        states = {
            "connector": status["connector"],
            **{f"task {task['id']}": task for task in status["tasks"]},
        }
        shown = ", ".join(f"{name} {state['state']}" for name, state in states.items())
        failed = [state for state in states.values() if state["state"] == "FAILED"]
        if shown != self._seen:
            self._seen = shown
            trace = failed[0].get("trace", "").splitlines()[:1] if failed else None
            log.log(logging.ERROR if failed else logging.INFO, "connector state", states=shown, trace=trace)
        if not failed:
            if status["tasks"]:
                self._backoff = FIRST_BACKOFF_SECONDS
            return
        if time.monotonic() < self._restart_at:
            return
        self._client.post(f"{self._path}/restart", params={"includeTasks": "true", "onlyFailed": "true"})
        log.warning("connector restarted", next_try_after_seconds=self._backoff)
        self._restart_at = time.monotonic() + self._backoff
        self._backoff = min(2 * self._backoff, self._settings.restart_backoff_max_seconds)


def read(file: Path) -> Config:
    """Return the configuration in a connector file; ValueError unless it is one JSON object of strings."""
    config = json.loads(file.read_text())
    if not isinstance(config, dict) or not all(isinstance(value, str) for value in config.values()):
        raise ValueError(f"{file}: expected one JSON object whose values are strings")
    return config


def main() -> None:
    """Keep the connector until SIGTERM or SIGINT; the connector itself runs on."""
    config = settings.load(ConnectorSettings)
    logs.configure("info", "cdc.connector")
    # It logs each request otherwise.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    complaint: str | None = None
    with httpx.Client(
        base_url=config.connect_url, timeout=REQUEST_TIMEOUT_SECONDS, trust_env=False
    ) as client:
        keeper = Keeper(config, client)
        while not stop.is_set():
            try:
                keeper.look()
                complaint = None
            except (httpx.HTTPError, ValueError) as error:
                # Said once, not every second: an edited file with a fault, or Connect while it restarts.
                if str(error) != complaint:
                    complaint = str(error)
                    body = error.response.text[:500] if isinstance(error, httpx.HTTPStatusError) else None
                    log.warning("connector not looked after", error=complaint, body=body)
            stop.wait(config.poll_seconds)
