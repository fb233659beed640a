"""Examples to play, read and copy from. Nothing of the service imports this."""
