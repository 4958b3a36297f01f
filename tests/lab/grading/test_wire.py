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
