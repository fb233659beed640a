"""Long lists, one page in memory at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

PAGE_ITEMS = 500

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[_Item]):
    items: Sequence[_Item]
    next_token: str


@dataclass(slots=True)
class Paged(Generic[_Item]):
    """All items of all pages, or the first ``limit`` of them. Can be iterated once.

    ``fetch`` gets the most items that a page may have, and its token. Where somebody has asked for the first
    page already, with the size that ``first_size`` gives, it is ``first``.
    """

    fetch: Callable[[int, str], Page[_Item]]
    limit: int | None = None
    page_items: int = PAGE_ITEMS
    first: Page[_Item] | None = None
    is_cut: bool = False
    """Whether the limit ended it, so that there may be more."""

    def __iter__(self) -> Iterator[_Item]:
        left = self.limit
        page = self.first or self.fetch(self._size(left), "")
        self.first = None
        while True:
            yield from page.items
            if not page.next_token:
                return
            if left is not None:
                left -= len(page.items)
                if left <= 0:
                    self.is_cut = True
                    return
            page = self.fetch(self._size(left), page.next_token)

    def first_size(self) -> int:
        return self._size(self.limit)

    def _size(self, left: int | None) -> int:
        return self.page_items if left is None else min(self.page_items, left)
