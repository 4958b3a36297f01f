import threading
import time

import pytest

from airbench_core.study.ticker import every


def test_it_is_called_while_the_block_goes_on_and_never_after():
    calls, seen = [], threading.Event()

    def tick() -> None:
        calls.append(threading.current_thread())
        if len(calls) == 3:
            seen.set()

    with every(0.01, tick):
        assert seen.wait(10)
    n = len(calls)
    time.sleep(0.1)
    assert len(calls) == n
    assert threading.current_thread() not in calls


def test_an_error_in_the_block_ends_it_too():
    before = threading.active_count()
    with pytest.raises(ValueError, match="no"), every(0.01, lambda: None):
        raise ValueError("no")
    assert threading.active_count() == before
