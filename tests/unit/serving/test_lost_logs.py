"""Nobody reads the log any more, because its reader has ended: the service goes on."""

from __future__ import annotations

import os
import subprocess
import sys

SERVICE = """
import logging
import structlog
from serving import logs
logs.configure("info", "service")
for number in range(3):
    structlog.get_logger().info("ours", number=number)
    logging.getLogger("theirs").warning("theirs %s", number)
try:
    raise ValueError
except ValueError:
    structlog.get_logger().exception("failed")
print("served")
"""


def test_a_service_whose_log_is_closed_serves_on() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(  # noqa: S603 - our own code
            [sys.executable, "-c", SERVICE], stdout=subprocess.PIPE, stderr=writing, text=True, check=False
        )
    finally:
        os.close(writing)
    assert done.stdout == "served\n"
    assert done.returncode == 0
