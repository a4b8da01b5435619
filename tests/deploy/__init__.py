"""Tests of what is deployed: manifests, images, and that they and the code say the same."""
