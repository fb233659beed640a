"""Applies the commands of the inbox."""
