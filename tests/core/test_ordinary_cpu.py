"""What computes is tested once more as on an ordinary processor: AVX2, float32."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from airbench_core.devices import cpu_has_fast_bfloat16

ROOT = Path(__file__).parents[2]
ORDINARY = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
# Inductor keeps what it compiled by what it was compiled from: made for one instruction set, it ends another's process.
NOT_COMPILED = "not compiled and not traced"
FILES = ("fast", "tricks/test_proxy.py", "test_network.py", "test_optimizers.py", "test_resnet.py", "test_training.py")
# What no kernel of a processor changes: when a run stops, what a clock counts.
MECHANICS = "stop or race or clock or watching"
OUTCOMES = ("PASSED", "FAILED", "ERROR", "SKIPPED", "XFAIL", "XPASS")


def failures(paths: list[str], environment: dict[str, str], folder: Path = ROOT) -> list[str]:
    """The tests below these paths that fail in a process of their own, each with how.

    One that ends the process is among them, and the others go on in a new one.
    """
    found, done = [], []
    while True:
        skipped = [f"--deselect={name}" for name in done]
        command = [sys.executable, "-m", "pytest", "-v", "--tb=line", "-p", "no:cacheprovider", *skipped, *paths]
        run = subprocess.run(
            command, env=os.environ | environment, cwd=folder, capture_output=True, text=True, timeout=280
        )
        running = None
        for line in run.stdout.splitlines():
            name, outcome = _read(line)
            if name is not None:
                done.append(name)
                running = name if outcome is None else None
                if outcome in ("FAILED", "ERROR"):
                    found.append(f"{name}: {outcome}")
        if run.returncode in (0, 1, 5):  # passed, failed, nothing left
            assert done, run.stdout + run.stderr
            return found
        assert running is not None, run.stdout + run.stderr
        assert running not in done[:-1], run.stdout + run.stderr
        found.append(f"{running}: ended its process ({run.returncode})")


def _read(line: str) -> tuple[str | None, str | None]:
    """The test that a line of pytest's is about, and its outcome if it has one."""
    if "::" not in line or line.startswith(OUTCOMES):
        return None, None
    words = line.split("  ")[0].rstrip()
    for outcome in OUTCOMES:
        if f" {outcome}" in words:
            return words.rpartition(f" {outcome}")[0].strip(), outcome
    return words.strip(), None


@pytest.mark.slow
def test_what_computes_is_right_with_avx2_and_float32():
    if platform.machine() not in ("x86_64", "AMD64") or not cpu_has_fast_bfloat16():
        pytest.skip("this processor is an ordinary one: the tests themselves have shown it")
    chosen = f"{NOT_COMPILED} and not ({MECHANICS})"
    assert failures(["-k", chosen, *(f"tests/core/{name}" for name in FILES)], ORDINARY) == []


def test_a_test_that_ends_its_process_is_told_and_the_others_go_on(tmp_path):
    (tmp_path / "test_some.py").write_text(
        "import os\n\n"
        "import pytest\n\n"
        "def test_right(): pass\n"
        "@pytest.mark.parametrize('n', ['a b', 'c'])\n"
        "def test_dies(n): n == 'c' or os.abort()\n"
        "def test_wrong(): assert 0\n"
        "def test_also_dies(): os.kill(os.getpid(), 11)\n"
        "def test_last(): assert os.environ['HERE'] == 'yes'\n"
    )
    told = [line.rpartition("::")[2] for line in failures(["."], {"HERE": "yes"}, tmp_path)]
    assert told == [
        "test_dies[a b]: ended its process (-6)",
        "test_wrong: FAILED",
        "test_also_dies: ended its process (-11)",
    ]
