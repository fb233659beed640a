"""Valkey and Postgres as child processes, for `stakehold up`, the demo, the benchmark and the tests.

Production connects to servers that somebody else runs; nothing outside the command line and the tests imports
this package. Linux only: the promise that a killed parent leaves no orphan rests on PR_SET_PDEATHSIG.
"""

from service.embedded.cluster import EmbeddedCluster, embedded_cluster
from service.embedded.postgres import EmbeddedPostgres, embedded_postgres
from service.embedded.valkey import EmbeddedValkey, embedded_replica, embedded_valkey

__all__ = [
    "EmbeddedCluster",
    "EmbeddedPostgres",
    "EmbeddedValkey",
    "embedded_cluster",
    "embedded_postgres",
    "embedded_replica",
    "embedded_valkey",
]
