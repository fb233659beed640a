"""A case on disk, so that a run can be checked again: the history, the books, and what was broken."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.faults.books import Amounts, Books, Entry, NamedLoss, Place, SlipName, Wallet
from tests.faults.checks.case import Case, Death, Loss
from tests.faults.history import Id, read_history

HISTORY, _BOOKS = "history.jsonl", "books.json"


def keep_books(folder: Path, case: Case) -> None:
    """The history is there already: it is written while it happens."""
    books = case.books
    kept = {
        "entries": [asdict(entry) for entry in books.entries],
        "hot": list(books.hot.items()),
        "named_lost": list(books.named_lost),
        "booked_again": list(books.booked_again),
        "hot_slips": list(books.hot_slips.items()),
        "read_ms": books.read_ms,
        "losses": list(case.losses),
        "deaths": list(case.deaths),
    }
    (folder / _BOOKS).write_text(json.dumps(kept))


def read_case(folder: Path) -> Case:
    kept = json.loads((folder / _BOOKS).read_text())
    books = Books(
        [_entry(entry) for entry in kept["entries"]],
        {Wallet(*wallet): (version, Amounts(*amounts)) for wallet, (version, amounts) in kept["hot"]},
        frozenset(NamedLoss(Id(*identity), record) for identity, record in kept["named_lost"]),
        frozenset(Id(*identity) for identity in kept["booked_again"]),
        {SlipName(*name): (version, state) for name, (version, state) in kept["hot_slips"]},
        kept["read_ms"],
    )
    losses, deaths = [Loss(*loss) for loss in kept["losses"]], [Death(*death) for death in kept["deaths"]]
    return Case(read_history(folder / HISTORY), books, losses, deaths)


def _entry(kept: dict[str, Any]) -> Entry:
    after = kept["after"]
    return Entry(
        **{
            **kept,
            "place": Place(*kept["place"]),
            "change": Amounts(*kept["change"]),
            "after": None if after is None else Amounts(*after),
        }
    )
