import gc
import os
from contextlib import suppress
from dataclasses import replace

import pytest
import torch

from airbench_core import AirbenchWarning, Runtime, UsageError, devices
from airbench_core.devices import Clock, available_cores


def test_an_interactive_run_leaves_one_core_free(monkeypatch):
    monkeypatch.setattr(devices, "available_cores", lambda: 8)
    assert Runtime.detect("cpu").threads == 7
    assert Runtime.detect("cpu", threads=8).threads == 8
    with pytest.warns(AirbenchWarning, match=r"^threads=1024 is more than the 8 core\(s\) here, .*: 8 it is$"):
        assert Runtime.detect("cpu", threads=1024).threads == 8
    monkeypatch.setattr(devices, "available_cores", lambda: 1)
    assert Runtime.detect("cpu").threads == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity to set")
def test_available_cores_knows_affinity():
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, [min(cores)])
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, cores)


@pytest.mark.parametrize(("has_bf16", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_cpu_precision_follows_the_hardware(monkeypatch, has_bf16, dtype):
    monkeypatch.setattr(devices, "cpu_has_fast_bfloat16", lambda: has_bf16)
    runtime = Runtime.detect("cpu")
    assert runtime.dtype == dtype
    assert runtime.weights_dtype == torch.float32


def test_cuda_runs_in_float16_as_published(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(devices, "_fault", lambda device: None)
    runtime = Runtime.detect()
    assert (runtime.device.type, runtime.dtype, runtime.weights_dtype) == ("cuda", torch.float16, torch.float16)
    with pytest.raises(UsageError, match=r"cuda:3 is not to be had: this machine has 1 CUDA"):
        Runtime.detect("cuda:3")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "tpu9"}, "device=tpu9 is not legal"),
        ({"device": "cpu", "dtype": "int8"}, "dtype=int8 is not legal"),
        ({"device": "cpu", "dtype": "float16"}, "float16 needs a CUDA device"),
        ({"threads": 0}, "threads=0 is not legal"),
        ({"device": "cpu:1"}, "device=cpu:1 is not legal"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        Runtime.detect(**arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_missing_device_is_refused():
    with pytest.raises(UsageError, match=r"device=cuda is not to be had on this machine; `airbench doctor`"):
        Runtime.detect("cuda")


@pytest.mark.parametrize(
    ("own", "built", "runs"),
    [
        ((8, 0), ["sm_75", "sm_80", "sm_90"], True),
        ((8, 9), ["sm_75", "sm_80", "sm_90"], True),  # what was built for 8.0 runs on 8.9
        ((7, 0), ["sm_75", "sm_80", "sm_90"], False),
        ((9, 0), ["sm_75", "sm_80"], False),
        ((9, 0), ["sm_75", "sm_80", "compute_80"], True),  # compiled by the driver
        ((12, 0), ["sm_90a", "sm_100", "sm_120"], True),
        ((6, 1), ["compute_70"], False),
    ],
)
def test_a_gpu_without_kernels_is_passed_over_and_said(own, built, runs, monkeypatch):
    for name, value in {
        "is_available": True, "device_count": 1, "get_device_capability": own, "get_arch_list": built,
        "get_device_name": "Some GPU",
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    if runs:
        assert Runtime.detect().device.type == Runtime.detect("cuda").device.type == "cuda"
        return
    said = rf"no kernels for the Some GPU, of architecture {own[0]}\.{own[1]} "
    with pytest.warns(AirbenchWarning, match=f"{said}.*another device is used"):
        assert Runtime.detect().device.type == "cpu"
    with pytest.raises(UsageError, match=f"^device=cuda: this PyTorch has {said}.*use --device cpu"):
        Runtime.detect("cuda")


@pytest.mark.parametrize("error", [0.001, 0.3])
def test_an_apple_gpu_is_taken_where_its_gradients_are_the_cpu_s(error, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(devices, "gradient_error", lambda device: error)
    with pytest.warns(AirbenchWarning, match="nobody has measured" if error < 0.01 else r"off by 0.3 .*another device"):
        assert Runtime.detect().device.type == ("mps" if error < 0.01 else "cpu")


def test_gradients_are_compared_with_the_cpu_s(monkeypatch):
    state, cpu = torch.get_rng_state(), torch.device("cpu")
    with torch.inference_mode():
        assert devices.gradient_error(cpu) == 0
    assert torch.equal(torch.get_rng_state(), state)
    moved, to = [], torch.nn.Module.to

    def wrong(module, where, *rest):  # on the second device a filter is another one
        moved.append(module)
        if len(moved) == 2:
            module[0].weight.data[0] *= 2
        return to(module, where, *rest)

    monkeypatch.setattr(torch.nn.Module, "to", wrong)
    assert devices.gradient_error(cpu) > 0.01


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "200000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "max 100000"}, 16),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 16),
        ({}, 16),
    ],
)
def test_available_cores_knows_a_container_s_quota(files, cores, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(devices, "CGROUPS", tmp_path)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert available_cores() == cores


@pytest.mark.parametrize(("said", "threads"), [("1", 1), ("4,2", 4), ("99", 15), ("", 15), ("many", 15)])
def test_omp_num_threads_is_heard(said, threads, monkeypatch):
    monkeypatch.setattr(devices, "available_cores", lambda: 16)
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert Runtime.detect("cpu").threads == threads
    assert Runtime.detect("cpu", threads=16).threads == 16  # who says so is heard too


def test_bfloat16_without_a_unit_for_it_is_warned_of(monkeypatch):
    monkeypatch.setattr(devices, "cpu_has_fast_bfloat16", lambda: False)
    with pytest.warns(AirbenchWarning, match=r"bfloat16 is many times slower than float32 .*: use --dtype auto"):
        assert Runtime.detect("cpu", dtype="bfloat16").dtype == torch.bfloat16


def test_active_applies_and_restores_threads():
    runtime = Runtime.detect("cpu")
    before = torch.get_num_threads()
    with replace(runtime, threads=before + 1).active():
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_clock_counts_only_its_blocks_and_waits_for_the_device(monkeypatch, float32):
    now, waits = [0.0], []

    def wait(_):
        waits.append(now[0])
        now[0] += 0.5  # work that was still under way

    monkeypatch.setattr(Runtime, "synchronize", wait)
    monkeypatch.setattr(devices.time, "perf_counter", lambda: now[0])
    clock = float32.clock()
    with clock:
        now[0] += 2
    now[0] += 100
    with clock:
        now[0] += 3
    assert clock.seconds == 2.5 + 3.5  # what is under way at the start is not the block's, at the end it is
    assert len(waits) == 4


class FakeEvent:
    """An event in a stream whose work takes as long as `now` says when it is recorded."""

    now = 0.0
    waited = 0

    def record(self):
        self.at = FakeEvent.now

    def synchronize(self):
        FakeEvent.waited += 1

    def elapsed_time(self, end):  # in milliseconds, as CUDA's
        return 1000 * (end.at - self.at)


def test_a_gpu_s_clock_waits_only_when_it_is_read(monkeypatch, float32):
    monkeypatch.setattr(torch.cuda, "Event", lambda enable_timing: FakeEvent())
    FakeEvent.now = FakeEvent.waited = 0
    clock = replace(float32, device=torch.device("cuda")).clock()
    assert clock.seconds == 0
    laps = []
    for work in 3, 4, 5:
        with clock:
            FakeEvent.now += work
        laps.append(clock.lap())
        FakeEvent.now += 100  # a pause
    assert FakeEvent.waited == 0
    assert [lap() for lap in laps] == [3, 7, 12]
    assert clock.seconds == 12
    assert FakeEvent.waited > 0


@pytest.mark.parametrize("before", [True, False])
def test_garbage_is_collected_in_the_pauses_alone(before):
    clock = Clock()
    try:
        gc.enable() if before else gc.disable()
        with suppress(ZeroDivisionError), clock:
            inside = gc.isenabled()
            raise ZeroDivisionError
        assert not inside
        assert gc.isenabled() is before
    finally:
        gc.enable()


def test_describe_is_plain():
    described = Runtime.detect("cpu").describe()
    assert set(described) == {"device", "name", "dtype", "threads", "compile"}
    assert described["name"]
