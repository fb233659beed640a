"""A store that is a Valkey Cluster."""
