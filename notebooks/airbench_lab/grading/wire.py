"""What a grader and the process that runs a student's code say to each other, over a pipe.

To the student's process goes anything that can be pickled: the grader is trusted. What comes back is not: only plain
values are read (numbers, texts, tensors, lists, tuples, dicts, recipes), never an object that could run code.
"""

import io
import pickle
import struct
from dataclasses import asdict
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from airbench_core import Recipe
from airbench_lab.study.settings import with_fields

LARGEST = 1 << 30  # bytes of a reply
HEADER = struct.Struct("<Q")
RECIPE = "airbench_core.Recipe"  # the key under which a recipe's fields travel


class NotPlain(Exception):
    """A value that cannot be sent back."""


def send(stream: BinaryIO, message: Any) -> None:
    """From the grader, to whom all is allowed."""
    _write(stream, pickle.dumps(message))


def receive(stream: BinaryIO) -> Any:
    """What the grader sent. Raises EOFError when it has gone."""
    return pickle.loads(_read(stream))


def reply(stream: BinaryIO, value: Any) -> None:
    """From the student's process: `value` has to be `plain`."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    _write(stream, buffer.getbuffer())


def read_reply(stream: BinaryIO) -> Any:
    """What the student's process replied. Raises EOFError when it has gone, ValueError for what is no plain value."""
    content = _read(stream)
    try:
        return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except Exception as error:  # whatever bytes somebody may have written
        raise ValueError("the reply is not one of plain values") from error


def plain(value: Any) -> Any:
    """`value` as it can be sent. Raises NotPlain for what has no such form."""
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.item() if value.ndim == 0 else torch.from_numpy(np.ascontiguousarray(value)))
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float, str):  # also of a class made from one: only its value travels
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True).contiguous()
    if isinstance(value, list | tuple):
        items = [plain(item) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, Recipe):
        return {RECIPE: {name: plain(item) for name, item in asdict(value).items()}}
    raise NotPlain(f"a value of type {type(value).__name__} cannot be graded: numbers, texts, tensors and lists can")


def restored(value: Any) -> Any:
    """A plain value as it was: recipes again recipes. Raises UsageError for a recipe that is illegal."""
    if isinstance(value, dict):
        if set(value) == {RECIPE}:
            return with_fields(Recipe(), **value[RECIPE])
        return {key: restored(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(restored(item) for item in value)
    return value


def _write(stream: BinaryIO, content: bytes | memoryview) -> None:
    stream.write(HEADER.pack(len(content)))
    stream.write(content)
    stream.flush()


def _read(stream: BinaryIO) -> bytes:
    (size,) = HEADER.unpack(_exactly(stream, HEADER.size))
    if size > LARGEST:
        raise ValueError(f"a message of {size:,} bytes: at most {LARGEST:,}")
    return _exactly(stream, size)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise EOFError
    return content
