"""Coroutines that wait for what a thread does for many of them at once: a commit."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from typing import Any


class GroupWaiter:
    """Waits for futures of other threads; those that are done together wake the loop once.

    `asyncio.wrap_future` wakes it for each, through a socket: each time both threads lose their turn. All that wait
    do so in one loop.
    """

    def __init__(self) -> None:
        self._done: deque[asyncio.Future[None]] = deque()
        self._is_woken = False  # the loop is to come, and will see all of `_done`

    async def wait(self, future: Future[Any]) -> None:
        """Return when the future is done, however it ended."""
        if future.done():
            return
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        future.add_done_callback(lambda _: self._add(loop, waiter))
        await waiter

    def _add(self, loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None]) -> None:
        # Called in the other thread. First added, then asked, as the loop first notes and then takes: none is left.
        self._done.append(waiter)
        if not self._is_woken and not loop.is_closed():
            self._is_woken = True
            loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        self._is_woken = False
        while self._done:
            waiter = self._done.popleft()
            if not waiter.done():  # its connection was closed meanwhile
                waiter.set_result(None)
