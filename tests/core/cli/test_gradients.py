from dataclasses import replace

import pytest
import torch

from airbench_core import AIRBENCH94, RESNET18, network
from airbench_core.cli import gradients
from airbench_core.fast import cpu

FEW = replace(AIRBENCH94, widths=(8, 16, 16))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_right_and_wrong_ones_are_seen(dtype, monkeypatch):
    error = gradients.largest_error(FEW, dtype)
    assert 0 < error < gradients.LARGEST[dtype]
    assert (error < 1e-4) == (dtype == torch.float32)
    monkeypatch.setattr(cpu, "norm_gelu", lambda x, norm: 2 * network.norm_gelu(x, norm))
    assert gradients.largest_error(FEW, dtype) > gradients.LARGEST[dtype]


def test_a_reference_without_fast_functions_is_as_exact():
    assert gradients.largest_error(replace(RESNET18, widths=(4, 8, 8, 16)), torch.float32) < 1e-3


FIRST, SECOND, *_ = gradients.NETWORKS


@pytest.mark.parametrize(
    ("found", "ended", "said"),
    [
        ([1e-6], None, "those of 1 networks differ from float64's by 1e-06 at most"),
        ([0.03], None, "those of 1 networks differ from float64's by 0.03 at most"),
        ([1e-6], "ended its process (-11)", f"to compute those of {SECOND} ended its process"),
        ([1e-6, 0.5], None, f"those of {SECOND} are off by 0.5 of their norm: use another --dtype"),
        ([float("inf")], None, f"those of {FIRST} are off by inf"),
        ([], "did not end within 120 s", f"to compute those of {FIRST} did not end"),
        ([1e-6] * len(gradients.NETWORKS), "ended its process (1)", "to compute those of the last network"),
    ],
)
def test_what_is_said(found, ended, said):
    right, words = gradients.verdict(found, torch.float32, ended)
    assert words.startswith(said)
    assert right == said.startswith("those of 1 networks")


def test_a_process_that_dies_is_a_line(monkeypatch, float32):
    monkeypatch.setattr(gradients.sys, "executable", "false")
    assert gradients.checked(float32)[0] is False
