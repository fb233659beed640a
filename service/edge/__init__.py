"""The edge: HTTP for providers. It holds no keys and decides nothing."""
