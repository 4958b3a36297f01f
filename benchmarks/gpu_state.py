"""The state in which a GPU was measured: clocks and power limit decide on its seconds."""

import shutil
import subprocess

import torch

FACTS = (
    *("uuid", "name", "driver_version", "clocks.sm", "clocks.mem", "clocks.max.sm", "clocks.max.mem"),
    *("power.limit", "power.draw", "temperature.gpu"),
)


def gpu_state(device: torch.device | None) -> dict[str, str] | None:
    """What nvidia-smi says of a CUDA device now: name, driver, clocks in MHz, power in W, temperature in degrees C.

    None for another device, and where nvidia-smi does not answer or does not tell which of its devices this one is.
    """
    if device is None or device.type != "cuda" or shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", f"--query-gpu={','.join(FACTS)}", "--format=csv,noheader,nounits"]
    try:
        printed = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20).stdout
        uuid = str(torch.cuda.get_device_properties(device).uuid).removeprefix("GPU-")
        return chosen(printed, uuid)
    except (OSError, subprocess.SubprocessError, AttributeError):
        return None


def chosen(printed: str, uuid: str) -> dict[str, str] | None:
    """The facts of the device with that uuid, since its number there may be another than here; of an only one."""
    rows = [[value.strip() for value in line.split(",")] for line in printed.splitlines() if line.strip()]
    states = [dict(zip(FACTS, values, strict=True)) for values in rows if len(values) == len(FACTS)]
    named = [state for state in states if uuid in state["uuid"]] or states
    if len(named) != 1:
        return None
    return {fact: value for fact, value in named[0].items() if fact != "uuid"}
