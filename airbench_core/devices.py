"""How a training is computed: device, precision, threads, compilation. Never what is computed (`recipes.Recipe`)."""

import copy
import gc
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from airbench_core.allocator import freed_memory_kept
from airbench_core.errors import AirbenchWarning, UsageError
from airbench_core.fields import whole

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}

# Of images and filters. On MPS channels-last makes max-pooling's gradient end the process and BatchNorm's wrong, in
# versions of torch that are allowed here (pytorch#175190, #175189).
LAYOUTS = {"cpu": torch.channels_last, "cuda": torch.channels_last, "mps": torch.contiguous_format}


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Where and in which precision a training runs; `detect` chooses what suits the machine.

    dtype: of the activations. threads: of the CPU's kernels (on a GPU they only launch work).
    """

    device: torch.device
    dtype: torch.dtype
    threads: int
    compile: bool = False

    @classmethod
    def detect(cls, device: str = "auto", *, dtype: str = "auto", threads: int | None = None, compile: bool = False):
        """The runtime for `device`: auto, cpu, cuda, cuda:N or mps. Raises UsageError where there is no such device.

        Precision: float16 on CUDA as published; bfloat16 on CPUs that multiply it in hardware; else float32.
        Threads: all cores but one, because one busy neighbour stalls a training that uses them all, and no more than
        OMP_NUM_THREADS; more than there are cores are never used, with a warning.
        A GPU for which this PyTorch has no kernels, or an Apple GPU that computes other gradients than the CPU, is
        passed over by auto, with a warning.
        """
        chosen = _device(device)
        if dtype == "auto":
            fast = {"cuda": "float16", "cpu": "bfloat16" if cpu_has_fast_bfloat16() else "float32"}
            dtype = fast.get(chosen.type, "float32")
        elif dtype not in DTYPES:
            raise UsageError(f"dtype={dtype} is not legal: auto, {', '.join(DTYPES)}")
        elif dtype == "float16" and chosen.type != "cuda":
            raise UsageError(f"dtype=float16 needs a CUDA device, not {chosen}: use bfloat16 or float32")
        elif dtype == "bfloat16" and chosen.type == "cpu" and not cpu_has_fast_bfloat16():
            slow = "dtype=bfloat16 is many times slower than float32 on this processor, which has no unit for it"
            warnings.warn(f"{slow}: use --dtype auto", AirbenchWarning, stacklevel=2)
        if threads is None:
            threads = min(max(1, available_cores() - 1), omp_threads())
        elif (threads := whole("threads", threads, 1, 1024)) > (cores := available_cores()):
            more = f"threads={threads} is more than the {cores} core(s) here, and slower than as many: {cores} it is"
            warnings.warn(more, AirbenchWarning, stacklevel=2)
            threads = cores
        return cls(device=chosen, dtype=DTYPES[dtype], threads=threads, compile=compile)

    @property
    def weights_dtype(self) -> torch.dtype:
        """float16 weights are kept as published; bfloat16 ones would lose small updates, so those stay float32."""
        return torch.float16 if self.dtype is torch.float16 else torch.float32

    @property
    def inference_batch(self) -> int:
        """Images in a forward pass without gradients: as many as a GPU wants, as few as stay in a CPU's caches."""
        return 250 if self.device.type == "cpu" else 2000

    @property
    def device_name(self) -> str:
        """The hardware's own name, such as "NVIDIA A100-SXM4-80GB"."""
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else cpu_name()

    def describe(self) -> dict[str, object]:
        """Plain values for a run log."""
        return {
            "device": self.device.type,
            "name": self.device_name,
            "dtype": str(self.dtype).removeprefix("torch."),
            "threads": self.threads,
            "compile": self.compile,
        }

    @contextmanager
    def active(self, *, random: bool = False) -> Iterator[None]:
        """Apply this runtime, and PyTorch's defaults in place of its global settings; put all back after.

        random: PyTorch's generators, too, which are other threads' as well. On a CPU freed memory is kept meanwhile
        (`allocator.freed_memory_kept`). The default dtype and the precision of float32 products stay as they are.
        """
        threads, benchmark = torch.get_num_threads(), torch.backends.cudnn.benchmark
        deterministic = torch.get_deterministic_debug_mode()
        special = {"cpu": freed_memory_kept, "cuda": lambda: torch.cuda.device(self.device)}
        try:
            torch.set_num_threads(self.threads)
            torch.backends.cudnn.benchmark = True
            torch.set_deterministic_debug_mode(0)
            with ExitStack() as stack:
                stack.enter_context(special.get(self.device.type, nullcontext)())
                stack.enter_context(torch.random.fork_rng([self.device] * (self.device.type == "cuda"), enabled=random))
                stack.enter_context(torch.inference_mode(False))
                stack.enter_context(torch.enable_grad())
                if torch.is_autocast_enabled(self.device.type):
                    stack.enter_context(torch.autocast(self.device.type, enabled=False))
                if torch.get_default_device().type != "cpu":  # a mode that each call of PyTorch goes through
                    stack.enter_context(torch.device("cpu"))
                yield
        finally:
            torch.set_num_threads(threads)
            torch.backends.cudnn.benchmark = benchmark
            torch.set_deterministic_debug_mode(deterministic)

    def clock(self) -> "Clock":
        """A clock for this device, at 0. On a GPU by events in its stream of work: nothing waits until it is read."""
        if self.device.type == "cuda":
            return Clock(_event, _between_events)
        return Clock(self._now)

    def _now(self) -> float:
        self.synchronize()
        return time.perf_counter()

    def synchronize(self) -> None:
        """Wait until the device has done all that it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()


class Clock:
    """Seconds of the blocks run under `with clock:`; the pauses between them are left out.

    mark: gives the moment at which the device has done, or will have done, all that it was given; one is taken at both
    ends of a block, so that a block's work is in its own time and nothing else's. between: seconds from one mark to
    another. Python's garbage collection waits for the pauses.
    """

    def __init__(self, mark: Callable[[], Any] = time.perf_counter, between: Callable[[Any, Any], float] | None = None):
        self.mark, self.between = mark, between or (lambda start, end: end - start)
        self.blocks: list[tuple[Any, Any]] = []

    def __enter__(self) -> "Clock":
        self.collecting = gc.isenabled()
        self.started = self.mark()
        gc.disable()
        return self

    def __exit__(self, *exception: object) -> None:
        self.blocks.append((self.started, self.mark()))
        if self.collecting:
            gc.enable()

    @property
    def seconds(self) -> float:
        return self.lap()()

    def lap(self) -> Callable[[], float]:
        """A function that gives the seconds until now. On a GPU it waits, when called, for what was given to it."""
        n = len(self.blocks)
        return lambda: sum(self.between(*block) for block in self.blocks[:n])


def _event() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _between_events(start: torch.cuda.Event, end: torch.cuda.Event) -> float:
    end.synchronize()
    return start.elapsed_time(end) / 1000


def _device(name: str) -> torch.device:
    has = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available, "cpu": lambda: True}
    if name == "auto":
        for device in (torch.device(kind) for kind in has if has[kind]()):
            if fault := _fault(device):
                warnings.warn(f"{fault}: another device is used", AirbenchWarning, stacklevel=3)
                continue
            if device.type == "mps":
                tried = "nobody has measured a training on an Apple GPU (mps) yet; its gradients of one step are right"
                warnings.warn(f"{tried}: compare with --device cpu", AirbenchWarning, stacklevel=3)
            return device
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in has or (device.type != "cuda" and device.index):
        raise UsageError(f"device={name} is not legal: auto, cpu, cuda, cuda:N or mps")
    if not has[device.type]():
        raise UsageError(f"device={name} is not to be had on this machine; `airbench doctor` shows what is")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"device={name} is not to be had: this machine has {torch.cuda.device_count()} CUDA device(s)")
    if device.type == "cuda" and (fault := _fault(device)):
        raise UsageError(f"device={name}: {fault}: use --device cpu, or a PyTorch that was built for it")
    return device


def _fault(device: torch.device) -> str | None:
    """Why a device that is there is of no use, if it is of none."""
    if device.type == "cuda" and not torch.version.hip:
        own, built = torch.cuda.get_device_capability(device), torch.cuda.get_arch_list()
        known = [(kind, divmod(int(number.rstrip("af")), 10)) for kind, number in (one.split("_") for one in built)]
        runs = {"sm": lambda of: of[0] == own[0] and of[1] <= own[1], "compute": lambda of: of <= own}
        if not any(kind in runs and runs[kind](of) for kind, of in known):
            name = torch.cuda.get_device_name(device)
            return f"this PyTorch has no kernels for the {name}, of architecture {own[0]}.{own[1]} ({' '.join(built)})"
    if device.type == "mps" and (error := gradient_error(device)) > 0.01:
        return f"gradients on the Apple GPU (mps) are off by {error:.2g} of their norm with torch {torch.__version__}"
    return None


@torch.inference_mode(False)
@torch.enable_grad()
def gradient_error(device: torch.device) -> float:
    """How far one step's gradients on `device` are from the CPU's, as a share of their norm: a small network's."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        layers = [nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(8), nn.GELU()]
        network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(2048, 10)).float()
        images, gradients = torch.randn(16, 3, 32, 32, dtype=torch.float32), []
    for where in ("cpu", device):
        own = copy.deepcopy(network).to(where)
        own(images.to(where)).logsumexp(1).sum().backward()
        gradients.append(torch.cat([p.grad.flatten().cpu() for p in own.parameters()]))
    exact, ours = gradients
    return ((ours - exact).norm() / exact.norm()).nan_to_num(torch.inf).item()


CGROUPS = Path("/sys/fs/cgroup")  # of this process's container, as it sees them: version 2, or 1


def available_cores() -> int:
    """Cores that this process may use: its affinity, and the quota of its container where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for files in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        with suppress(OSError, ValueError):  # no such file, or no limit ("max")
            quota, period = map(int, " ".join((CGROUPS / file).read_text() for file in files).split())
            if quota > 0:  # version 1 writes -1 where there is no limit
                cores = max(1, min(cores, quota // period))
    return cores


def omp_threads() -> float:
    """The most threads that OMP_NUM_THREADS allows; infinite where it says nothing."""
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return max(1, int(said)) if said.isdecimal() else float("inf")


def cpu_has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware (AMX or avx512_bf16), and oneDNN may use that."""
    if os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in ("SSE41", "AVX", "AVX2", "AVX512_CORE", "AVX512_CORE_VNNI"):
        return False
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)


def cpu_name() -> str:
    """The processor's own name, as far as the system tells it."""
    if sys.platform == "darwin":
        brand = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(brand, capture_output=True, text=True).stdout.strip() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
