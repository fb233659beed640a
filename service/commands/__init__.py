"""One module a command, each with a click command called `command`, loaded when it is first asked for."""
