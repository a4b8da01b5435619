"""Callers that prove who they are by a certificate alone, and what they are."""

from collections.abc import Mapping

WORKLOADS: Mapping[str, str] = {"order-service": "order_service"}
"""The role of each, by the name of its service account."""
NAMESPACE = "inventory"
