"""The development issuer: gives anybody with the stack's password a token for any role. Never for production.

It speaks as much of OpenID Connect as services, Envoy and the typed client need: discovery, a key set with
keys that rotate, and a token endpoint. It listens on the loopback alone.
"""
