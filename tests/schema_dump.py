"""Writes ``schema.sql``: the whole schema as it stands after all migrations, for people to read.

    python -m tests.schema_dump > persistence/postgres/schema.sql

A test proves that the file is what the migrations make.
"""

import asyncio
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from persistence.postgres.migrating import migrate
from service.embedded import embedded_postgres
from service.embedded.binaries import postgres_server

_TIMEOUT_S = 60.0
_PASSED_OVER = re.compile(
    r"^(--.*|SET .*|SELECT pg_catalog\.set_config.*|\\(un)?restrict .*)\n", re.MULTILINE
)


def dump_schema(url: str) -> str:
    """The schema of a migrated database, without the dump's own settings, comments and owners."""
    dumped = subprocess.run(
        [
            postgres_server().path.with_name("pg_dump"),
            "--schema-only",
            "--no-owner",
            "--no-tablespaces",
            f"--dbname={url}",
        ],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=True,
    )
    return re.sub(r"\n{3,}", "\n\n", _PASSED_OVER.sub("", dumped.stdout)).strip() + "\n"


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with embedded_postgres(Path(folder), fsync=False) as server:
            await migrate(server.dsn)
            sys.stdout.write(dump_schema(server.dsn))


if __name__ == "__main__":
    asyncio.run(main())
