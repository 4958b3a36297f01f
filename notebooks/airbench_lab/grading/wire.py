"""What a grader and the process that runs a student's code say to each other, over a pipe.

To the student's process goes anything that can be pickled: the grader is trusted. What comes back is not: only plain
values are read (numbers, texts, tensors, lists, tuples, dicts, recipes), never an object that could run code. They come
as JSON and, behind it, the bytes of all tensors: nothing there can be larger, once read, than what was sent and paid
for by the student's process. The parameters of a network that was sent come back as their numbers, in the network's
order.
"""

import io
import json
import math
import pickle
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor, nn

from airbench_core import Recipe
from airbench_lab.study.settings import with_fields

LARGEST = 1 << 30  # bytes of a reply
LARGEST_JSON = 1 << 24  # of which all that is not in tensors: it takes much longer to read
HEADER = struct.Struct("<Q")
RECIPE = "airbench_core.Recipe"  # the key under which a recipe's fields travel
PARAMETER = "torch.nn.Parameter"  # and that of a parameter's number


class NotPlain(Exception):
    """A value that cannot be sent back."""


def send(stream: BinaryIO, message: Any) -> None:
    """From the grader, to whom all is allowed."""
    write(stream, pickle.dumps(message))


def receive(stream: BinaryIO) -> Any:
    """What the grader sent. Raises EOFError when it has gone."""
    return pickle.loads(read(stream))


def requests(stream: BinaryIO) -> Iterator[Any]:
    """What `receive` gives, one after the other, until the stream ends."""
    while True:
        try:
            request = receive(stream)
        except EOFError:
            return
        yield request


def reply(stream: BinaryIO, value: Any) -> None:
    """From the student's process: `value` has to be `plain`. Raises before anything is sent: NotPlain, ValueError."""
    tensors: list[Tensor] = []
    text = json.dumps(_coded(value, tensors)).encode()
    if len(text) > LARGEST_JSON:
        raise NotPlain("so many numbers or texts cannot be graded: put numbers into a tensor")
    behind = (one.reshape(-1).view(torch.uint8).numpy() for one in tensors)
    write(stream, b"".join([HEADER.pack(len(text)), text, *behind]))


def answer_in(content: bytes, device: torch.device | str = "cpu") -> dict:
    """The reply of a student's process: {"ok": value} or {"error": words}, its tensors on `device`.

    Raises ValueError for what is none.
    """
    try:
        stream = io.BytesIO(content)
        (size,) = HEADER.unpack(stream.read(HEADER.size))
        if size > LARGEST_JSON:
            raise ValueError(f"{size:,} bytes of JSON")
        answer = _decoded(json.loads(stream.read(size)), stream, device)
    except Exception as error:  # whatever bytes somebody may have written
        raise ValueError("the reply is not one of plain values") from error
    if not isinstance(answer, dict) or not ({"ok", "error"} & set(answer)):
        raise ValueError("neither a result nor an error")
    return answer


def parameters_of(arguments: Sequence[Any]) -> list[nn.Parameter]:
    """Those of the networks among a function's arguments."""
    return [p for one in arguments if isinstance(one, nn.Module) for p in one.parameters()]


def plain(value: Any, numbers: Mapping[int, int] | None = None) -> Any:
    """`value` as it can be sent. numbers: of the parameters that are known, by their id(). Raises NotPlain."""
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.item() if value.ndim == 0 else torch.from_numpy(np.ascontiguousarray(value)))
    if numbers and id(value) in numbers:
        return {PARAMETER: numbers[id(value)]}
    if value is None or isinstance(value, bool):
        return value
    if value is ...:
        raise NotImplementedError
    for kind in (int, float, str):  # also of a class made from one: only its value travels
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True).contiguous().resolve_conj()
    if isinstance(value, list | tuple):
        items = [plain(item, numbers) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, dict):
        return {plain(key): plain(item, numbers) for key, item in value.items()}
    if isinstance(value, Recipe):
        return {RECIPE: {name: plain(item) for name, item in asdict(value).items()}}
    raise NotPlain(f"a value of type {type(value).__name__} cannot be graded: numbers, texts, tensors and lists can")


def restored(value: Any, parameters: Sequence[Tensor] = ()) -> Any:
    """A plain value as it was: recipes again recipes, numbers `parameters`. Raises UsageError for an illegal recipe."""
    if isinstance(value, dict):
        if set(value) == {RECIPE}:
            return with_fields(Recipe(), **value[RECIPE])
        if set(value) == {PARAMETER}:
            return parameters[value[PARAMETER]]
        return {key: restored(item, parameters) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(restored(item, parameters) for item in value)
    return value


def _coded(value: Any, tensors: list[Tensor]) -> Any:
    """A plain value as JSON can hold it; tensors are put into `tensors`. An object has one key, which is its kind."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return {"tensor": [str(value.dtype).removeprefix("torch."), *value.shape]}
    if isinstance(value, list | tuple):
        items = [_coded(item, tensors) for item in value]
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, dict):
        return {"dict": [[_coded(key, tensors), _coded(item, tensors)] for key, item in value.items()]}
    return value


def _decoded(value: Any, stream: BinaryIO, device: torch.device | str) -> Any:
    """The plain value that was `_coded`; the bytes of its tensors come from `stream`."""
    if isinstance(value, list):
        return [_decoded(item, stream, device) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, inside),) = value.items()
    if kind == "tensor":
        dtype, shape = getattr(torch, inside[0]), inside[1:]
        content = bytearray(stream.read(math.prod(shape) * dtype.itemsize))
        flat = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
        return flat.reshape(shape).to(device)
    items = _decoded(inside, stream, device)
    return {"tuple": tuple, "dict": dict}[kind](items)


def write(stream: BinaryIO, content: bytes | memoryview) -> None:
    """A message, after its length."""
    stream.write(HEADER.pack(len(content)))
    stream.write(content)
    stream.flush()


def read(stream: BinaryIO) -> bytes:
    """A message. Raises EOFError when the other end has gone, ValueError for a length that nobody can mean."""
    (size,) = HEADER.unpack(_exactly(stream, HEADER.size))
    if size > LARGEST:
        raise ValueError(f"a message of {size:,} bytes: at most {LARGEST:,}")
    return _exactly(stream, size)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise EOFError
    return content
