"""Fan-out of typed items with a bounded buffer for each reader."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Buffer(Generic[T]):
    """One reader's items: `async for item in buffer`, or whole batches with `await buffer.batch()`."""

    def __init__(self, size: int, latest: Callable[[T], Hashable] | None) -> None:
        self._size, self._latest = size, latest
        self._queue: deque[T] = deque(maxlen=size)
        self._newest: dict[Hashable, T] = {}
        self._wake = asyncio.Event()
        self.dropped = 0  # items lost because the reader was too slow

    def put(self, items: Sequence[T]) -> None:
        if self._latest is None:
            self.dropped += max(0, len(self._queue) + len(items) - self._size)
            self._queue.extend(items)  # full, it lets the oldest go
        else:
            self._newest.update(zip(map(self._latest, items), items, strict=True))
        self._wake.set()

    def __len__(self) -> int:
        return len(self._queue) + len(self._newest)

    def take(self) -> list[T]:
        """All that is waiting, without waiting; oldest first, with `latest` in the order its keys first came."""
        items = [*self._queue, *self._newest.values()]
        self._queue.clear()
        self._newest.clear()
        self._wake.clear()
        return items

    async def batch(self) -> list[T]:
        """All that is waiting, at least one item, in the order of `take`."""
        while not (items := self.take()):
            await self._wake.wait()
        return items

    async def __aiter__(self) -> AsyncIterator[T]:
        while True:
            for item in await self.batch():
                yield item


class Hub(Generic[T]):
    """`publish` never waits, so a slow reader cannot hold up a device."""

    def __init__(self) -> None:
        self._buffers: list[Buffer[T]] = []
        self._dropped = 0  # by readers that have left

    def publish(self, *items: T) -> None:
        """Hand the items, in order, to every subscriber."""
        if items:
            for buffer in self._buffers:
                buffer.put(items)

    @property
    def dropped(self) -> int:
        """Items lost by slow readers since the beginning."""
        return self._dropped + sum(buffer.dropped for buffer in self._buffers)

    @contextmanager
    def subscribe(self, *, size: int = 1000, latest: Callable[[T], Hashable] | None = None) -> Iterator[Buffer[T]]:
        """Buffer up to `size` items; with `latest`, a newer item replaces the older one of equal key."""
        buffer = Buffer(size, latest)
        self._buffers.append(buffer)
        try:
            yield buffer
        finally:
            self._buffers.remove(buffer)
            self._dropped += buffer.dropped
