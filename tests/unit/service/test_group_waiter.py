"""Coroutines that wait for what a thread does for many of them at once."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Thread
from typing import Any

import pytest

from fhir_coder.service.group_waiter import GroupWaiter


def end(futures: list[Future[int]]) -> None:
    for future in futures:
        future.set_result(1)


def in_a_thread(work: Callable[[], None]) -> None:
    thread = Thread(target=work)
    thread.start()
    thread.join()


async def waiting(waiter: GroupWaiter, futures: list[Future[int]]) -> list[asyncio.Task[None]]:
    """Return a task for each future, every one of which waits by now."""
    tasks = [asyncio.create_task(waiter.wait(future)) for future in futures]
    await asyncio.sleep(0)
    return tasks


def test_those_that_are_done_together_wake_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        loop, woken = asyncio.get_running_loop(), list[object]()
        wake = loop.call_soon_threadsafe

        def recorded(*asked: Any) -> object:
            woken.append(asked)
            return wake(*asked)

        monkeypatch.setattr(loop, "call_soon_threadsafe", recorded)
        waiter = GroupWaiter()
        for _ in range(2):  # and again with the next group
            futures = [Future[int]() for _ in range(100)]
            tasks = await waiting(waiter, futures)
            woken.clear()
            in_a_thread(partial(end, futures))
            await asyncio.wait_for(asyncio.gather(*tasks), 10)
            assert len(woken) == 1

    asyncio.run(run())


def test_none_is_left_waiting_whenever_it_is_done() -> None:
    async def run() -> None:
        waiter, futures = GroupWaiter(), [Future[int]() for _ in range(2000)]
        thread = Thread(target=end, args=(futures,))
        tasks = [asyncio.create_task(waiter.wait(future)) for future in futures]
        thread.start()  # while some wait, some begin to, and some find theirs done
        await asyncio.wait_for(asyncio.gather(*tasks), 10)
        thread.join()

    asyncio.run(run())


def test_a_failure_ends_the_wait_and_stays_with_the_future() -> None:
    async def run() -> None:
        future: Future[int] = Future()
        (task,) = await waiting(GroupWaiter(), [future])
        in_a_thread(partial(future.set_exception, OSError("disk full")))
        await asyncio.wait_for(task, 10)
        assert isinstance(future.exception(), OSError)

    asyncio.run(run())


def test_one_that_waits_no_more_does_not_hold_up_the_others() -> None:
    async def run() -> None:
        waiter, futures = GroupWaiter(), [Future[int](), Future[int]()]
        first, second = await waiting(waiter, futures)
        first.cancel()
        in_a_thread(partial(end, futures))
        await asyncio.wait_for(second, 10)
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(run())


def test_a_loop_that_has_ended_is_not_woken() -> None:
    future: Future[int] = Future()

    async def begin() -> None:
        await waiting(GroupWaiter(), [future])

    asyncio.run(begin())
    future.set_result(1)
    assert future.result() == 1
