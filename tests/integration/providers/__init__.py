"""Callbacks of providers, against the real service."""
