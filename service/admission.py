"""Which calls come in when there are more than the service can take at once."""

import asyncio

from persistence.errors import Overloaded, Shortage, Stopping

RETRY_DELAY_MS = 200

GREED = 4
"""How many times the places that are free one source may hold. Alone it gets 4 of 5 places; two get 4 of 9
each, three 4 of 13."""

BULK_GREED = 1
"""The same where many commands wait in order for places: they leave room for calls that do not wait."""


class Admission:
    """Counts the calls in flight: ``most`` at once, shared among the sources that call.

    They are shared by dynamic thresholds (Choudhury and Hahne, 1998): a source gets in as long as it holds
    less than GREED times the places that are free. Whoever floods so leaves room for the others, however many
    they are, and takes nearly all while nobody else wants in. Each service's calls that name no source count
    as one's, each provider's callbacks too (service/interceptors/doors.py).
    """

    def __init__(self, most: int) -> None:
        self._most = self._free = most
        self._held: dict[str, int] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self.stopping = asyncio.Event()
        self._turned_away = 0
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def in_flight(self) -> int:
        return self._most - self._free

    @property
    def sources(self) -> int:
        """How many have calls in flight."""
        return len(self._held)

    def enter(self, source_id: str, *, greed: int = GREED) -> None:
        """A call comes in; ``source_id`` is empty where it names none. Raises Overloaded, and Stopping.

        What came in has to ``leave``.
        """
        held = self._held.get(source_id, 0)
        if self.stopping.is_set():
            self._turned_away += 1
            raise Stopping("the server is stopping")
        if held >= greed * self._free:
            raise _overloaded(source_id if self._free else "")
        self._held[source_id] = held + 1
        self._free -= 1
        self._idle.clear()

    def leave(self, source_id: str) -> None:
        """A call that came in is over."""
        self._free += 1
        self._held[source_id] -= 1
        if not self._held[source_id]:
            del self._held[source_id]
            if not self._held:
                self._idle.set()
        if self._waiters:
            self._wake_waiters()

    def stop(self) -> None:
        """Nothing comes in any more."""
        self.stopping.set()
        self._wake_waiters()

    async def until_one_left(self, patience_s: float) -> bool:
        """Waits for a place that becomes free, or for the stop; whether there was one in time."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(patience_s):
                await waiter
        except TimeoutError:
            return False
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        return True

    def _wake_waiters(self) -> None:
        """In the order in which they came; who finds no place any more waits again."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until_idle(self) -> None:
        """Waits until nothing is in flight."""
        await self._idle.wait()

    async def until_quiet(self, quiet_s: float) -> None:
        """After the stop, waits until nobody was turned away for so long."""
        before = -1
        while before != self._turned_away:
            before = self._turned_away
            await asyncio.sleep(quiet_s)


def _overloaded(source_id: str) -> Overloaded:
    return Overloaded(
        f"source {source_id} has too many calls in flight" if source_id else "too many calls are in flight",
        retry_delay_ms=RETRY_DELAY_MS,
        cause=Shortage.SOURCE if source_id else Shortage.IN_FLIGHT,
        source_id=source_id,
    )
