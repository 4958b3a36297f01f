"""What comes back from a student's process: plain values, whatever somebody sends."""

import io
import pickle

import numpy as np
import pytest
import torch
from airbench_lab.grading import wire

from airbench_core import AIRBENCH94_MUON, Parts, UsageError


def there_and_back(value):
    stream = io.BytesIO()
    wire.reply(stream, {"ok": wire.plain(value)})
    stream.seek(0)
    return wire.restored(wire.answer_in(wire.read(stream))["ok"])


@pytest.mark.parametrize("value", [None, True, 3, 2.5, "text", [1, (2, "b")], {"a": [1.5], 2: None}, AIRBENCH94_MUON])
def test_plain_values_come_back_as_they_were(value):
    back = there_and_back(value)
    assert back == value
    assert type(back) is type(value)


def test_tensors_come_back_without_their_history():
    tensor = torch.arange(6.0, requires_grad=True).reshape(2, 3) * 2
    back = there_and_back([tensor, tensor.to(torch.bfloat16), tensor > 3])
    assert torch.equal(back[0], tensor)
    assert not back[0].requires_grad
    assert [one.dtype for one in back] == [torch.float32, torch.bfloat16, torch.bool]


def test_numbers_and_arrays_of_numpy_become_ours():
    assert there_and_back(np.float64(0.5)) == 0.5
    assert torch.equal(there_and_back(np.eye(2)), torch.eye(2, dtype=torch.float64))


@pytest.mark.parametrize("value", [object(), Parts(), {1, 2}, [lambda: 0]])
def test_other_things_are_refused_by_their_kind(value):
    with pytest.raises(wire.NotPlain, match="cannot be graded"):
        wire.plain(value)


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('this code was run')",)


def test_a_reply_that_would_run_code_is_not_read():
    buffer = io.BytesIO()
    torch.save(Evil(), buffer)
    for content in (buffer.getvalue(), pickle.dumps(Evil()), b"nonsense"):
        with pytest.raises(ValueError, match="plain values"):
            wire.answer_in(content)


class Zeros:
    def __reduce__(self):
        return bytearray, (10**8,)


@pytest.mark.parametrize("what", ["shared lists", "shared numbers", "zeros"])
def test_no_reply_of_torch_that_is_larger_than_its_bytes_is_read(what):
    lists = []
    for _ in range(20):
        lists = [lists, lists]
    values = {"shared lists": lists, "shared numbers": torch.zeros(1).expand(10**6, 10**6), "zeros": Zeros()}
    buffer = io.BytesIO()
    torch.save({"ok": values[what]}, buffer)
    assert len(buffer.getvalue()) < 3000
    with pytest.raises(ValueError, match="plain values"):
        wire.answer_in(buffer.getvalue())


def forged(text, behind=b""):
    return wire.HEADER.pack(len(text)) + text.encode() + behind


@pytest.mark.parametrize(
    "value",
    [
        '{"tensor": ["float32", 1000000, 1000000]}',
        '{"tensor": ["float32", -1, -1]}',
        '{"tensor": ["load", 1]}',
        '{"dict": [[[], 1]]}',
        '{"tuple": [], "dict": []}',
        '{"exec": []}',
        "[" * 5000 + "]" * 5000,
        "[" + "[]," * (wire.LARGEST_JSON // 3) + "0]",
    ],
    ids=range(8),
)
def test_a_reply_that_no_plain_value_gives_is_refused(value):
    with pytest.raises(ValueError, match="plain values"):
        wire.answer_in(forged(f'{{"dict": [["ok", {value}]]}}', bytes(64)))


def test_values_that_would_take_long_to_read_are_refused_where_they_are():
    stream = io.BytesIO()
    with pytest.raises(wire.NotPlain, match="put numbers into a tensor"):
        wire.reply(stream, {"ok": [0.123456789] * 2_000_000})
    assert stream.getvalue() == b""


@pytest.mark.parametrize("dtype", [torch.float16, torch.int64, torch.uint8, torch.complex64, torch.bool])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_tensors_of_any_kind_and_shape_come_back(dtype, shape):
    back, after = there_and_back((torch.ones(shape, dtype=dtype), torch.arange(3)))
    assert (back.dtype, back.shape) == (dtype, shape)
    assert back.to(torch.complex64).real.eq(1).all()
    assert after.tolist() == [0, 1, 2]


def test_a_length_that_nobody_can_mean_is_not_waited_for():
    with pytest.raises(ValueError, match="at most"):
        wire.read(io.BytesIO(wire.HEADER.pack(1 << 60)))


def test_a_reply_that_ends_early_says_so():
    with pytest.raises(EOFError):
        wire.read(io.BytesIO(wire.HEADER.pack(100) + b"short"))


def test_parameters_of_a_network_that_was_sent_come_back_as_the_same_objects():
    here, there = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    numbers = {id(one): number for number, one in enumerate(wire.parameters_of([there, 5]))}
    sent = wire.plain([{"params": [there.bias], "lr": 0.1}], numbers)
    (group,) = wire.restored(sent, wire.parameters_of([here, 5]))
    assert group["params"][0] is here.bias
    assert group["lr"] == 0.1


def test_an_illegal_recipe_is_refused_like_any_other():
    with pytest.raises(UsageError, match="epochs"):
        wire.restored({wire.RECIPE: {"epochs": -1}})
