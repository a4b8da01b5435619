"""The decisions, pure: no clock, no database, no protobuf; the standard library alone.

A `Transaction` holds what was locked and read; commands are decided on it one after the other, each
seeing the ones before it; what they change is gathered in it for the store to write.
"""
