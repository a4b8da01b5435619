"""The version of the client, which every call tells in its user agent."""

VERSION = "0.1.0"
