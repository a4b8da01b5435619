"""The mesh, for real: a Kubernetes API, istiod, and our own services behind sidecars in network namespaces.

A suite of its own: `make test-mesh`.
"""
