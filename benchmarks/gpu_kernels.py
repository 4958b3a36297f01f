"""What a training step costs a GPU that is not there: bytes, kernels and atomics of its forward and backward pass.

    python benchmarks/gpu_kernels.py                                   # every recipe on an H200 (sm_90)
    python benchmarks/gpu_kernels.py airbench94 --arch 75 --kernels    # each kernel of one, on a T4
    python benchmarks/gpu_kernels.py airbench94 --code DIR             # keeps the code that Inductor generates

PyTorch traces the step on the CPU, its graphs are moved to a GPU that a few functions of torch.cuda and Triton pretend
to have, and Inductor fuses, plans and writes their kernels. Nothing is run. Bytes are Inductor's own count, of the
scheduler's kernels: a buffer is read or written once by each that uses it, caches are left out. A call of a library
(cuDNN, cuBLAS) counts as one kernel. Muon's update is counted apart; SGD, the gather of the batch and Lookahead are
not in it.
Some 20 s of one core for airbench94. Written for torch 2.14: much of what it calls is not public.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import torch
import torch._functorch.config as aot_config
import torch._inductor.config as inductor_config

from airbench_core import RECIPES, Dataset, Recipe, Runtime
from airbench_core.fast.cpu import plain_
from airbench_core.learner import Learner
from airbench_core.tricks import Parts
from airbench_core.tricks.compiled import OPTIONS

# What Inductor asks a device for. Its choices hang on these alone.
COMMON = {
    "warp_size": 32, "max_threads_per_block": 1024, "regs_per_multiprocessor": 65536,
    "shared_memory_per_block": 49152, "gcnArchName": "", "is_integrated": 0,
}  # fmt: skip
GPUS = {
    "75": COMMON | {"name": "Tesla T4", "multi_processor_count": 40, "total_memory": 15 << 30,
                    "max_threads_per_multi_processor": 1024, "shared_memory_per_block_optin": 65536,
                    "shared_memory_per_multiprocessor": 65536, "L2_cache_size": 4 << 20},
    "80": COMMON | {"name": "NVIDIA A100-SXM4-80GB", "multi_processor_count": 108, "total_memory": 80 << 30,
                    "max_threads_per_multi_processor": 2048, "shared_memory_per_block_optin": 166912,
                    "shared_memory_per_multiprocessor": 167936, "L2_cache_size": 40 << 20},
    "90": COMMON | {"name": "NVIDIA H200", "multi_processor_count": 132, "total_memory": 141 << 30,
                    "max_threads_per_multi_processor": 2048, "shared_memory_per_block_optin": 232448,
                    "shared_memory_per_multiprocessor": 233472, "L2_cache_size": 50 << 20},
}  # fmt: skip
CUDA = torch.device("cuda", 0)
SIZE = 32  # pixels, the side of an image


@dataclass(frozen=True)
class Kernel:
    """A kernel or a call of a library. bytes: read and written. atomics: outputs that it scatters into."""

    name: str
    backward: bool
    library: bool
    bytes: int
    atomics: int


@contextmanager
def pretended_gpu(arch: str) -> Iterator[None]:
    """Within it PyTorch, Inductor and Triton believe in a GPU of `arch`, such as "90": one a process, they remember."""
    import torch._inductor.async_compile as async_compile
    import triton
    from torch._dynamo.device_interface import CudaInterface
    from torch.utils._triton import has_triton
    from triton.backends.compiler import GPUTarget

    major, minor = divmod(int(arch), 10)
    properties = SimpleNamespace(major=major, minor=minor, **GPUS[arch])
    answers = {
        "is_available": True, "is_initialized": True, "device_count": 1, "current_device": 0,
        "get_device_properties": properties, "get_device_capability": (major, minor),
        "get_device_name": properties.name, "is_bf16_supported": major >= 8, "synchronize": None, "_lazy_init": None,
        "get_rng_state": torch.zeros(16, dtype=torch.uint8), "set_rng_state": None,
        "is_current_stream_capturing": False, "_exchange_device": 0, "_maybe_exchange_device": 0, "set_device": None,
        "current_stream": SimpleNamespace(cuda_stream=0, stream_id=0),
    }  # fmt: skip
    to_inductor = {
        name: answers[name]
        for name in ("is_available", "device_count", "current_device", "get_device_properties", "synchronize")
    } | {
        "get_compute_capability": int(arch), "is_triton_capable": True, "raise_if_triton_unavailable": None,
        "is_bf16_supported": major >= 8,
    }  # fmt: skip
    worker = {"get_device_properties": properties, "current_device": 0}
    driver = {
        "get_current_target": GPUTarget("cuda", int(arch), 32), "get_current_device": 0, "get_current_stream": 0,
        "get_active_torch_device": CUDA, "get_device_interface": torch.cuda, "is_active": True,
    }  # fmt: skip

    def saying(answer):
        return lambda *args, **kwargs: answer

    patches = [patch.object(torch.cuda, name, saying(answer)) for name, answer in answers.items()]
    patches += [patch.object(CudaInterface, name, staticmethod(saying(a))) for name, a in to_inductor.items()]
    patches += [patch.object(CudaInterface.Worker, name, staticmethod(saying(a))) for name, a in worker.items()]
    # What is generated is not compiled: a kernel is its name.
    patches += [
        patch.object(async_compile.AsyncCompile, "triton", lambda self, name, source, device_str="cuda": name),
        patch.object(async_compile.AsyncCompile, "wait", saying(None)),
    ]
    triton.runtime.driver.set_active(SimpleNamespace(**{name: saying(answer) for name, answer in driver.items()}))
    for one in patches:
        one.start()
    has_triton.cache_clear()  # there was none before
    try:
        yield
    finally:
        for one in reversed(patches):
            one.stop()


class Planned(Exception):
    """All is known: the step need not be computed."""


def kernels_of(scheduler_node, backward: bool) -> Iterator[Kernel]:
    """The kernel that Inductor makes of one of its scheduler's nodes, if any."""
    from torch._inductor import ir
    from torch._inductor.scheduler import NopKernelSchedulerNode

    node = scheduler_node.node
    if isinstance(scheduler_node, NopKernelSchedulerNode) or isinstance(node, ir.MultiOutput):
        return
    writes = scheduler_node.read_writes.writes
    origins = {origin for part in scheduler_node.get_nodes() for origin in part.node.get_origins()}
    yield Kernel(
        name=" ".join(sorted({str(origin.target).split(".")[1] for origin in origins if "." in str(origin.target)})),
        backward=backward,
        library=scheduler_node.is_extern(),
        bytes=scheduler_node.get_read_write_buffers_sizes(),
        atomics=sum(getattr(write, "mode", None) == "atomic_add" for write in writes),
    )


def planner(arch: str, found: list[Kernel], code: Path | None = None) -> Callable:
    """A backend for torch.compile that adds the kernels it would launch on the pretended GPU to `found`.

    code: a folder for what is generated.
    """
    from torch._guards import detect_fake_mode
    from torch._inductor.compile_fx import compile_fx, compile_fx_inner
    from torch._inductor.graph import GraphLowering
    from torch.fx.passes.fake_tensor_prop import FakeTensorProp

    def move(value):
        return CUDA if isinstance(value, torch.device) else value

    def plan(module, inputs, is_backward=False, **options):
        def there(x):
            return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=CUDA) if torch.is_tensor(x) else x

        mode = detect_fake_mode(inputs)
        for node in module.graph.nodes:
            node.args = torch.fx.node.map_aggregate(node.args, move)
            node.kwargs = torch.fx.node.map_aggregate(node.kwargs, move)
        module.recompile()

        def planned(nodes):
            for node in nodes:
                found.extend(kernels_of(node, is_backward))
            return nodes

        def keep(source):
            if code is not None:
                (code / f"{'backward' if is_backward else 'forward'}.py").write_text(source)

        with (
            pretended_gpu(arch),
            torch.no_grad(),
            patch.object(inductor_config, "_post_fusion_custom_pass", planned),
            patch.object(GraphLowering, "save_output_code", staticmethod(keep)),
        ):
            with mode:
                inputs = [there(x) for x in inputs]
            FakeTensorProp(module, mode).propagate_dont_convert_inputs(*inputs)
            compile_fx_inner(module, inputs, is_backward=is_backward)

        def run(args):
            raise Planned

        run._boxed_call = True
        return run

    return lambda module, inputs: compile_fx(module, inputs, inner_compile=plan)


def planned_kernels(arch: str, function: Callable, *args: object, code: Path | None = None) -> list[Kernel]:
    """Those of `function(*args)` and of its gradient, if it has one."""
    found: list[Kernel] = []
    with (
        aot_config.patch(force_non_lazy_backward_lowering=True, enable_autograd_cache=False),
        inductor_config.patch(compile_threads=1, fx_graph_cache=False, fx_graph_remote_cache=False, **OPTIONS),
    ):
        try:
            torch.compile(function, backend=planner(arch, found, code), fullgraph=True, dynamic=False)(*args)
        except Planned:
            return found
    raise RuntimeError("it was computed without being planned")


def learner_of(recipe: Recipe) -> Learner:
    """What learns `recipe` at full scale in float16, on the CPU: its networks as a GPU computes them."""
    data = Dataset.__new__(Dataset)  # of which a learner only asks the following
    for name, value in {
        "train_images": torch.empty(50_000, 3, SIZE, SIZE, dtype=torch.uint8, device="meta"),
        "classes": tuple("0123456789"),
    }.items():
        object.__setattr__(data, name, value)
    learner = Learner(recipe, data, Runtime(device=torch.device("cpu"), dtype=torch.float16, threads=1), Parts())
    plain_(learner.network).train()
    return learner


def step_kernels(recipe: Recipe, arch: str, code: Path | None = None) -> list[Kernel]:
    """Those of a step of `recipe` at full scale, on the pretended GPU; the whitening bias frozen, as in most steps.

    Of airbench96_faster it is the network's step alone, without its proxy's. code: a folder for what is generated.
    """
    learner = learner_of(recipe)
    if recipe.whiten:
        learner.network.first.bias.requires_grad_(False)
    batch = recipe.proxy_keep or recipe.batch_size
    images = torch.empty(batch, 3, SIZE, SIZE, dtype=torch.float16).contiguous(memory_format=torch.channels_last)
    return planned_kernels(arch, learner.loss, images, torch.zeros(batch, dtype=torch.int64), code=code)


def muon_kernels(recipe: Recipe, arch: str) -> list[Kernel]:
    """Those of Muon's update of the filters."""
    learner = learner_of(recipe)
    for p in learner.network.parameters():
        p.grad = torch.zeros_like(p)
    found: list[Kernel] = []
    muon = learner.optimizers[0]
    update = torch.no_grad()(muon.update)
    muon.update = lambda *args: found.extend(planned_kernels(arch, update, *args))
    muon.step()
    return found


def table(steps: dict[str, list[Kernel]]) -> str:
    """Markdown: a line a recipe."""
    lines = [
        "| recipe | batch | kernels | of libraries | MB forward | MB backward | atomics |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, kernels in steps.items():
        forward = sum(kernel.bytes for kernel in kernels if not kernel.backward)
        backward = sum(kernel.bytes for kernel in kernels if kernel.backward)
        batch = RECIPES[name].proxy_keep or RECIPES[name].batch_size
        lines.append(
            f"| {name} | {batch:,} | {len(kernels)} | {sum(kernel.library for kernel in kernels)} "
            f"| {forward / 1e6:,.0f} | {backward / 1e6:,.0f} | {sum(kernel.atomics for kernel in kernels)} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="*", choices=[*RECIPES, []], help="default: all of them")
    parser.add_argument("--arch", choices=GPUS, default="90", help="compute capability (default: 90)")
    parser.add_argument("--kernels", action="store_true", help="list each kernel too")
    parser.add_argument("--code", type=Path, metavar="DIR", help="keep the generated code there")
    args = parser.parse_args()
    steps = {}
    with tempfile.TemporaryDirectory() as cache, patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=cache):
        for name in args.recipe or RECIPES:
            folder = args.code and args.code / name
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
            steps[name] = step_kernels(RECIPES[name], args.arch, folder)
            if args.kernels:
                for kernel in steps[name]:
                    way = "backward" if kernel.backward else "forward "
                    print(f"{kernel.bytes / 1e6:9.1f} MB  {way}  {kernel.name}" + "  atomic" * bool(kernel.atomics))
        print(f"sm_{args.arch}, torch {torch.__version__}\n\n{table(steps)}")
        for name in steps:
            if RECIPES[name].optimizer == "muon":
                kernels = muon_kernels(RECIPES[name], args.arch)
                libraries = sum(kernel.library for kernel in kernels)
                print(f"\nMuon's update in {name}: {len(kernels)} kernels, {libraries} of libraries")


if __name__ == "__main__":
    main()
