"""Feeds: where rates of the market come from. Each reads one kind of document, whole or not at all."""
