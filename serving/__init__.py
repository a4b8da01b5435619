"""What every Inventory service stands on: settings, logs, errors, calls, health, the server itself."""

import os

# gRPC for Python always offers TLS 1.2 beside 1.3. The list of suites that it can be told, once, as it is
# imported, counts for 1.2 alone: those for RSA keys are none for ours (see serving.tls), and so 1.2 ends in
# the handshake.
os.environ.setdefault("GRPC_SSL_CIPHER_SUITES", "ECDHE-RSA-AES128-GCM-SHA256")
