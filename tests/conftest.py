"""What several test files share: the real CIFAR-10, and its rule for machines that lack it."""

import os
from collections.abc import Callable

import hypothesis
import pytest

from airbench_core import datasets

# A busy machine is slow, not wrong.
hypothesis.settings.register_profile("airbench", deadline=None)
hypothesis.settings.load_profile("airbench")


@pytest.fixture(scope="session")
def unavailable() -> Callable[[str, str], None]:
    """Skips the test, or fails it where AIRBENCH_REQUIRE (a comma-separated list) says that `what` must be there."""

    def skip_or_fail(what: str, reason: str) -> None:
        if what in os.environ.get("AIRBENCH_REQUIRE", "").split(","):
            pytest.fail(f"AIRBENCH_REQUIRE names {what}, but {reason}")
        pytest.skip(reason)

    return skip_or_fail


@pytest.fixture(scope="session")
def cifar10(unavailable) -> datasets.Dataset:
    """The genuine CIFAR-10 from the folder named by AIRBENCH_DATA."""
    if not os.environ.get("AIRBENCH_DATA"):
        unavailable("cifar10", "AIRBENCH_DATA is not set: it names the folder that holds CIFAR-10")
    return datasets.load_dataset("cifar10", download=False)
