"""The whole way, through Envoy, on a running stack."""
