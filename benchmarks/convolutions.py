"""Every kind of convolution that a legal recipe can ask for, against float64, under each instruction set of oneDNN.

    python benchmarks/convolutions.py                 all settings that this processor has: about 15 minutes
    python benchmarks/convolutions.py --isa AVX2      one of them
    python benchmarks/convolutions.py --sample 0.02   a part of the shapes
    python benchmarks/convolutions.py --plain         through PyTorch's functions alone, also where networks avoid them

PyTorch leaves convolutions on a CPU to oneDNN, whose kernels depend on the processor, and a wrong one may end the
process (compare oneDNN's issue 6035). So the work is done in processes forked for it, which say where they are: after a
crash or a hang the next one goes on behind it. With glibc's checks of memory a write beyond a block is a crash too.
"""

import argparse
import ctypes.util
import itertools
import json
import os
import random
import resource
import select
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ISAS = {  # of ONEDNN_MAX_CPU_ISA: the flags of /proc/cpuinfo that a processor needs for it
    "SSE41": {"sse4_1"},
    "AVX2": {"avx2", "fma"},
    "AVX512_CORE": {"avx512f", "avx512bw", "avx512vl", "avx512dq"},
    "AVX512_CORE_BF16": {"avx512_bf16"},
    "AVX512_CORE_AMX": {"amx_tile", "amx_bf16"},
}
DTYPES = {"float32": 1e-4, "bfloat16": 0.02}  # the largest error that is rounding, relative to the largest number
LAYOUTS = ("channels_last", "contiguous")
KINDS = {"3x3": (3, 1, 1), "3x3 stride 2": (3, 2, 1), "1x1": (1, 1, 0), "1x1 stride 2": (1, 2, 0)}
SMALL, LARGE = range(1, 41), (41, 47, 48, 63, 64, 65, 96, 127, 128, 129, 255, 256, 384, 511, 512)
BATCHES = (1, 2, 3, 7, 8, 16, 33)
MOST = 4e6  # multiplications in a shape, so that no shape takes long
PATIENCE = 60  # seconds without a word, after which a process is taken to hang


class Shape(NamedTuple):
    kind: str
    into: int  # input channels
    out: int
    side: int
    batch: int
    bias: bool = False

    def __str__(self) -> str:
        bias = " with bias" * self.bias
        return f"{self.kind}{bias}, {self.into} to {self.out} channels, {self.batch} x {self.side} x {self.side}"


class Case(NamedTuple):
    shape: Shape
    dtype: str
    layout: str
    by: str = "torch"  # or the file of ours through which a network computes it


def shapes(sample: float = 1, seed: int = 0) -> list[Shape]:
    """All pairs of 1 to 40 channels, and larger ones, for each kind; of sides and batches a few drawn for each pair."""
    rng = random.Random(seed)
    pairs = list(itertools.product(SMALL, SMALL))
    pairs += [pair for a in (*range(1, 9), 12, 16, 24, 31, 40) for b in LARGE for pair in ((a, b), (b, a))]
    pairs += [(rng.choice(LARGE), rng.choice(LARGE)) for _ in range(60)]
    found = [Shape("2x2", 3, 24, side, batch, bias) for side in range(25, 49) for batch in (1, 2, 9) for bias in (0, 1)]
    for (into, out), (kind, (size, stride, _)) in itertools.product(pairs, KINDS.items()):
        for turn in range(2 if into < 8 or out < 8 else 1):
            # Over the numbers of output channels each of 32 sides has its turn; sometimes a larger one.
            side = rng.randint(33, 48) if turn and rng.random() < 0.05 else 1 + (5 * into + out + 16 * turn) % 32
            batch = rng.choice(BATCHES)
            while into * out * (size * side / stride) ** 2 * batch > MOST and (batch > 2 or side > 1):
                side, batch = (side, batch // 2) if batch > 2 else (max(1, side // 2), batch)
            found.append(Shape(kind, into, out, side, batch))
    rng.shuffle(found)
    return found[: max(1, round(len(found) * sample))]


def cases(some: list[Shape], plain: bool = False) -> list[Case]:
    """Each shape in both layouts and dtypes, as networks compute it, or `plain`."""
    found = []
    for shape in some:
        if shape.kind == "3x3 stride 2" and shape.side == 1 and not plain:
            continue  # resnet18 refuses images so small that a layer would see this
        by = "resnet.py" if shape.kind == "1x1 stride 2" and not plain else "torch"
        found += [Case(shape, dtype, layout, by) for dtype in DTYPES for layout in LAYOUTS]
        if shape.kind == "3x3" and shape.side <= 7 and not plain:
            found += [Case(shape, dtype, "channels_last", "fast/cpu.py") for dtype in DTYPES]
    return found


def convolution(case: Case) -> Callable:
    """The function of (x, weight, bias) that computes it."""
    import torch

    from airbench_core.fast.cpu import conv2d
    from airbench_core.resnet import ShortCut

    _, stride, padding = KINDS.get(case.shape.kind, (2, 1, 0))
    if case.by == "resnet.py":
        layer = ShortCut(case.shape.into, case.shape.out, stride)
        return lambda x, weight, _: torch.func.functional_call(layer, {"weight": weight}, (x,))
    if case.by == "fast/cpu.py":
        return lambda x, weight, bias: conv2d(x, weight, bias, padding=(padding, padding))
    return lambda x, weight, bias: torch.nn.functional.conv2d(x, weight, bias, stride, padding)


def results(case: Case, x, weight, bias, of_y) -> list:
    """The output, and the gradients of input, weight and bias, of one convolution."""
    import torch

    layout = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}[case.layout]
    x, weight = (t.to(memory_format=layout, copy=True).requires_grad_() for t in (x, weight))
    given = [x, weight]
    if bias is not None:
        given.append(bias := bias.clone().requires_grad_())
    y = convolution(case)(x, weight, bias)
    return [y.detach(), *torch.autograd.grad(y, given, of_y.to(memory_format=layout))]


def work(todo: list[Case], first: int, last: int, say: Callable[[str], None]) -> None:
    """Check the cases `first` to `last`; says where it is, and what is wrong."""
    import torch

    known = None
    for number in range(first, last):
        say(f"at {number}")
        case = todo[number]
        shape = case.shape
        if known != shape:
            known, generator = shape, torch.Generator().manual_seed(number)
            size, stride, padding = KINDS.get(shape.kind, (2, 1, 0))
            side = (shape.side + 2 * padding - size) // stride + 1
            sizes = [(shape.batch, shape.into, shape.side, shape.side), (shape.out, shape.into, size, size)]
            sizes += [(shape.out,), (shape.batch, shape.out, side, side)]
            # Numbers that bfloat16 holds exactly, so that both dtypes start from the same.
            given = [torch.randn(s, generator=generator).bfloat16().double() for s in sizes]
            given[2] = given[2] if shape.bias else None
            exact = results(case._replace(by="torch"), *given)
        low = [None if t is None else t.to(getattr(torch, case.dtype)) for t in given]
        try:
            found = results(case, *low)
        except RuntimeError as error:
            say(f"error {number} {str(error).splitlines()[0]}")
            continue
        names = ("output", "gradient of input", "gradient of weight", "gradient of bias")
        for name, mine, reference in zip(names, found, exact, strict=False):
            off = ((mine.double() - reference).abs().max() / reference.abs().max().clamp(min=1e-3)).item()
            # Without bfloat16 in hardware PyTorch sums over images in bfloat16: rounding grows with sqrt(batch).
            if not off <= DTYPES[case.dtype] * max(1, shape.batch**0.5 / 3):
                say(f"wrong {number} {name} off by {off:.2g}")
                break
    say("done")


def lines(todo: list[Case], first: int, last: int, patience: float) -> Iterator[str]:
    """What a forked process says that checks these cases; at its end "died by N", "hung" or "done"."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.close(reading)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # glibc's word about a crash
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            work(todo, first, last, lambda line: os.write(writing, f"{line}\n".encode()))
        finally:
            os._exit(0)
    os.close(writing)
    rest = b""
    try:
        while select.select([reading], [], [], patience)[0]:
            if not (read := os.read(reading, 1 << 16)):
                status = os.waitpid(child, 0)[1]
                if status:
                    yield f"died by {signal.Signals(os.WTERMSIG(status)).name}"
                return
            *whole, rest = (rest + read).split(b"\n")
            yield from (line.decode() for line in whole)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        yield "hung"
    finally:
        os.close(reading)


def check(todo: list[Case], patience: float = PATIENCE) -> list[tuple[str, str, Case]]:
    """What is not right: (crash, hang, wrong or error; in words; the case). In this process nothing is computed."""
    found, at, ended = [], -1, False
    while not ended and at + 1 < len(todo):
        for line in lines(todo, at + 1, len(todo), patience):
            word, _, said = line.partition(" ")
            if word == "at":
                at = int(said)
            elif word in ("wrong", "error"):
                found.append((word, said.partition(" ")[2], todo[at]))
            elif word == "done":
                ended = True
            else:
                found.append(("hang" if word == "hung" else "crash", said or word, todo[at]))
    return found


def rule(some: list[Case]) -> str:
    """The ranges that these cases lie in."""
    parts = []
    for kind, of_kind in itertools.groupby(sorted(some), lambda case: case.shape.kind):
        all_of = [case.shape for case in of_kind]
        spans = {name: sorted({getattr(s, name) for s in all_of}) for name in ("into", "out", "side", "batch")}
        words = [f"{name} {v[0]}" + f" to {v[-1]}" * (len(v) > 1) for name, v in spans.items()]
        parts.append(f"{kind} ({len(all_of)}): {', '.join(words)}")
    return "; ".join(parts)


def here() -> list[str]:
    """The settings of ONEDNN_MAX_CPU_ISA that this processor has; none where oneDNN has no such choice."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    flags = next((set(line.split()) for line in text.splitlines() if line.startswith("flags")), set())
    return [name for name, needed in ISAS.items() if needed <= flags]


def under(isa: str, *arguments: str) -> dict:
    """What `--one` tells, in a process in which oneDNN stays within `isa`."""
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": isa, "OMP_NUM_THREADS": "1"}
    if checks := ctypes.util.find_library("c_malloc_debug"):
        environment |= {"LD_PRELOAD": checks, "GLIBC_TUNABLES": "glibc.malloc.check=3"}
    command = [sys.executable, __file__, "--one", *arguments]
    return json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)


def one(sample: float, threads: int, plain: bool) -> dict:
    """Check all cases in this process's setting."""
    import torch

    import airbench_core.fast.cpu
    import airbench_core.resnet  # noqa: F401  once, before the forks

    torch.set_num_threads(threads)
    started, todo = time.perf_counter(), cases(shapes(sample), plain)
    found = check(todo)
    tried = Counter((case.dtype, case.layout, case.by) for case in todo)
    seen = Counter((case.dtype, case.layout, case.by, what) for what, _, case in found)
    whats = "crash", "hang", "wrong", "error"
    groups = defaultdict(list)
    for what, said, case in found:
        groups[what, case.dtype, case.layout, case.by].append((said, case))
    return {
        "torch": torch.__version__,
        "seconds": time.perf_counter() - started,
        "rows": [[*key, n, *(seen[*key, what] for what in whats)] for key, n in tried.items()],
        "offenders": [
            [*key, rule([c for _, c in some]), [f"{c.shape}: {said}" for said, c in some[:3]]]
            for key, some in groups.items()
        ],
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--isa", nargs="+", choices=ISAS, default=here())
    parser.add_argument("--sample", type=float, default=1, help="share of the shapes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="through PyTorch's functions alone")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.one:
        print(json.dumps(one(arguments.sample, arguments.threads, arguments.plain)))
        return 0
    options = ["--sample", str(arguments.sample), "--threads", str(arguments.threads), *["--plain"] * arguments.plain]
    bad = 0
    print("| oneDNN up to | dtype | layout | by | shapes | crashes | hangs | wrong | errors |")
    print("|---|---|---|---|---|---|---|---|---|")
    for isa in arguments.isa:
        told = under(isa, *options)
        for dtype, layout, by, *counts in told["rows"]:
            print("|", " | ".join([isa, dtype, layout, by, *map(str, counts)]), "|")
            bad += sum(counts[1:])
        for what, dtype, layout, by, ranges, first in told["offenders"]:
            print(f"  {what}, {dtype}, {layout}, by {by}: {ranges}")
            print(*(f"    {line}" for line in first), sep="\n")
        print(f"  {told['seconds'] / 60:.1f} minutes, torch {told['torch']}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
