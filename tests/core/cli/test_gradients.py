from dataclasses import replace

import pytest
import torch

from airbench_core import AIRBENCH94, RESNET18, network
from airbench_core.cli import gradients
from airbench_core.fast import cpu

FEW = replace(AIRBENCH94, widths=(8, 16, 16))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_right_and_wrong_ones_are_seen(dtype, monkeypatch):
    fast, plain = gradients.errors(FEW, dtype)
    assert 0 < fast < 2 * max(plain, 1e-3)
    assert plain < gradients.LARGEST[dtype]
    assert (fast < 1e-4) == (dtype == torch.float32)
    monkeypatch.setattr(cpu, "norm_gelu", lambda x, norm: 2 * network.norm_gelu(x, norm))
    assert gradients.errors(FEW, dtype)[0] > 2 * max(plain, 1e-3)


def test_a_reference_without_fast_functions_is_as_exact():
    fast, plain = gradients.errors(replace(RESNET18, widths=(4, 8, 8, 16)), torch.float32)
    assert fast == plain < 1e-3


def line(number: int, *error: float) -> dict:
    return {"network": f"n{number}", **({"error": list(error)} if error else {})}


@pytest.mark.parametrize(
    ("lines", "ended", "said"),
    [
        ([line(1), line(1, 1e-6, 2e-6)], None, "those of 1 networks differ from float64's by 1e-06 at most"),
        (
            [line(1), line(1, 1e-6, 2e-6), line(2)],
            "ended its process (-11)",
            "to compute those of n2 ended its process",
        ),
        ([line(1), line(1, 1e-6, 0.5)], None, "those of n1 are off by 0.5 of their norm: use another --dtype"),
        ([line(1), line(1, 0.03, 1e-6)], None, "those of 1 networks differ from float64's by 0.03 at most"),
        ([line(1), line(1, 0.2, 1e-6)], None, "those of n1 are off by 0.2"),
        ([line(1), line(1, float("inf"), 1e-6)], None, "those of n1 are off by inf"),
        ([], "did not end within 120 s", "to compute those of the first network did not end"),
    ],
)
def test_what_is_said(lines, ended, said):
    right, words = gradients.verdict(lines, torch.float32, ended)
    assert words.startswith(said)
    assert right == said.startswith("those of 1 networks")


def test_a_process_that_dies_is_a_line(monkeypatch, float32):
    monkeypatch.setattr(gradients.sys, "executable", "false")
    assert gradients.checked(float32)[0] is False
