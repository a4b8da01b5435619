"""Tests of the Envoys in front of the services, and of the certificates of both."""
