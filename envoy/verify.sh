#!/usr/bin/env bash
# Has Envoy check every configuration of the running stack, then tries every way in that must be refused.
# Exit code 0 if all are. INVENTORY_STACK_NAME and INVENTORY_STACK_BASE_PORT choose the stack.
set -euo pipefail
cd "$(dirname "$0")/.."

python="${PYTHON:-.venv/bin/python}"
envoy="$("$python" -c 'from stack.envoy_proxy import BINARY; print(BINARY)')"
for file in ".stack/${INVENTORY_STACK_NAME:-local}"/config/{edge,*-sidecar}.yaml; do
  "$envoy" --mode validate --log-level error -c "$file"
done
# What gRPC logs of refused handshakes is what is wanted here.
GRPC_VERBOSITY=NONE exec "$python" -m stack refusals
