"""Plays the examples (examples/README.md) against a running service and checks every promise from outside.

Knows the service only as its callers do: by address, through the generated stubs.
"""
