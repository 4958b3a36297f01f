import subprocess
from dataclasses import replace

import pytest
import torch
from airbench_lab.cli import gradients

from airbench_core import AIRBENCH94, RESNET18, network
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
    ("found", "status", "said"),
    [
        ([1e-6], 0, "those of 1 networks differ from float64's by 1e-06 at most"),
        ([0.03], 0, "those of 1 networks differ from float64's by 0.03 at most"),
        ([1e-6], -11, f"to compute those of {SECOND} ended its process (-11)"),
        ([1e-6, 0.5], 0, f"those of {SECOND} are off by 0.5 of their norm: use another --dtype"),
        ([float("inf")], 0, f"those of {FIRST} are off by inf"),
        ([], None, f"to compute those of {FIRST} did not end"),
        ([1e-6], None, f"to compute those of {SECOND} did not end"),
        ([1e-6], "Windows", f"to compute those of {SECOND} did not end"),
        ([1e-6] * len(gradients.NETWORKS), 1, "to compute those of the last network"),
    ],
)
def test_what_is_said(found, status, said, monkeypatch, float32):
    lines = "".join(f"{error}\n" for error in found)

    def run(command, **_):
        if status is None:
            raise subprocess.TimeoutExpired(command, 120, lines.encode() or None)
        if status == "Windows":  # there it is text already
            raise subprocess.TimeoutExpired(command, 120, lines)
        return subprocess.CompletedProcess(command, status, lines)

    monkeypatch.setattr(gradients.subprocess, "run", run)
    right, words = gradients.checked(float32)
    assert words.startswith(said)
    assert right == said.startswith("those of 1 networks")


def test_a_process_that_dies_is_a_line(monkeypatch, float32):
    monkeypatch.setattr(gradients.sys, "executable", "false")
    assert gradients.checked(float32)[0] is False
