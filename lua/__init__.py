"""The scripts that decide, and the loader that composes each from its includes.

A script names what it needs with lines ``-- include: <name>``; the loader puts ``includes/<name>.lua`` there,
once, with its own includes before it. The result is what Valkey runs and what the linter reads.
"""

from lua.loader import Script, load_script, script_names

__all__ = ["Script", "load_script", "script_names"]
