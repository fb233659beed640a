"""Writes what each role may do into docs/security.md, from the table in the code.

    python -m tests.grants_page

A test proves that the page says what the code does.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from service.callers.caller import Role
from service.callers.grants import CREDIT_KINDS, DEBIT_KINDS, GRANTS, HOLD_KINDS, Grant
from stakehold.v1 import transaction_pb2

PAGE = Path(__file__).parents[1] / "docs" / "security.md"
BEGIN, END = "<!-- grants: python -m tests.grants_page -->\n", "<!-- end of grants -->\n"


def written() -> str:
    """The tables, as Markdown."""
    return "\n".join([*_calls(), "", *_kinds()]) + "\n"


def page_with(tables: str, page: str) -> str:
    """The page with these tables in place of its own."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{tables}{END}{after}"


def _calls() -> Iterator[str]:
    yield "| call | as one of its own sources | whatever the source | on record |"
    yield "|---|---|---|---|"
    for method, grant in GRANTS.items():
        name = method.removeprefix("/stakehold.v1.").replace("/", ".")
        on_record = "yes" if grant.is_administrative else ""
        yield f"| `{name}` | {_roles(grant.own)} | {_all(grant)} | {on_record} |"


def _all(grant: Grant) -> str:
    only = [f"`{field}` only {_roles(roles)}" for field, roles in grant.only.items()]
    return "; ".join([_roles(grant.all), *only])


def _roles(roles: Iterable[Role]) -> str:
    named = set(roles)
    if named == set(Role):
        return "every role"
    return ", ".join(role.value for role in Role if role in named)


def _kinds() -> Iterator[str]:
    yield "| role | debits for | credits for | holds for |"
    yield "|---|---|---|---|"
    for role in Role:
        cells = [_names(kinds, role) for kinds in (DEBIT_KINDS, CREDIT_KINDS, HOLD_KINDS)]
        if any(cells):
            yield f"| {role.value} | {' | '.join(cells)} |"


def _names(kinds: Mapping[Role, frozenset[int]], role: Role) -> str:
    known = transaction_pb2.TransactionKind.DESCRIPTOR.values_by_number
    names = [known[number].name for number in sorted(kinds.get(role, frozenset()))]
    return ", ".join(name.removeprefix("TRANSACTION_KIND_") for name in names)


if __name__ == "__main__":
    PAGE.write_text(page_with(written(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
