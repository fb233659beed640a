"""The group roles. They belong to the server, not to one database, so they are made outside migrations."""

import asyncpg

from persistence.errors import SetupRefused
from persistence.postgres.database import SERVICES_ROLES, Connection, LedgerRole
from persistence.postgres.queries import query

_ATTEMPTS = 20
_ROLES = [str(role) for role in LedgerRole]
_SERVICES_ROLES = [str(role) for role in SERVICES_ROLES]


async def ensure_roles(connection: Connection, *, service_login: str | None = None) -> None:
    """Makes the roles that are missing and joins them, so that whoever migrates may also serve and drain; so
    does ``service_login``, where that is somebody else.

    Other databases of the same server may be doing the same at the same moment.
    """
    for _ in range(_ATTEMPTS):
        try:
            await _create_missing(connection)
            await _join(connection)
            if service_login is not None:
                await _let_join(connection, service_login)
        except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError, asyncpg.InternalServerError):
            continue  # somebody else was faster ("tuple concurrently updated" is an internal error)
        except asyncpg.InsufficientPrivilegeError as error:
            raise SetupRefused(_instructions(await connection.fetchval("SELECT current_user"))) from error
        return
    raise SetupRefused("the roles could not be made because others kept changing them: run it again")


async def _create_missing(connection: Connection) -> None:
    existing = {row["rolname"] for row in await connection.fetch(query("existing_roles"), _ROLES)}
    for role in LedgerRole:
        if role not in existing:
            await connection.execute(f"CREATE ROLE {role} NOLOGIN")


async def _join(connection: Connection) -> None:
    if await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        return
    privilege = "SET" if connection.get_server_version() >= (16,) else "MEMBER"
    for row in await connection.fetch(query("roles_that_cannot_be_set"), _ROLES, privilege):
        await connection.execute(f"GRANT {row['rolname']} TO CURRENT_USER")


async def _let_join(connection: Connection, login: str) -> None:
    """A new release may have new roles: the service is made a member before it needs them."""
    if not await connection.fetchval(query("role_exists"), login):
        raise SetupRefused(f"the role {login}, as which STAKEHOLD_POSTGRES_URL logs in, does not exist")
    privilege = "SET" if connection.get_server_version() >= (16,) else "MEMBER"
    missing = await connection.fetch(
        query("roles_that_another_cannot_set"), _SERVICES_ROLES, privilege, login
    )
    for row in missing:
        quoted = login.replace('"', '""')
        await connection.execute(f'GRANT {row["rolname"]} TO "{quoted}"')


def _instructions(user: str) -> str:
    created = " ".join(f"CREATE ROLE {role} NOLOGIN;" for role in LedgerRole)
    return (
        f"the role {user} may not make or join the roles that the ledger's grants need. Give it CREATEROLE, "
        f"or let a superuser run: {created} GRANT {', '.join(LedgerRole)} TO {user};"
    )
