"""Ending when told to, although a TaskGroup forgot it."""

import asyncio


def heed_cancellation() -> None:
    """Raise CancelledError if the running task has been told to end.

    A TaskGroup one of whose tasks fails while it is being cancelled raises only the failure (until Python 3.13), so
    whoever handles such failures and goes on must ask.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
