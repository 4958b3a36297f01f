"""The process in which the grader trains. No code of a student's runs in it: what is theirs is called where it is.

So what it says of a training, the seconds too, is the grader's own. See `Sandbox.train`.
"""

import os
import pickle
import sys
from typing import Any, BinaryIO

from airbench_core import AirbenchError, Runtime
from airbench_lab.grading import wire
from airbench_lab.grading.remote import Remote, StudentError, result_of
from airbench_lab.grading.training import Request, Trained, train


class Trainer:
    """What is asked of it, and what it asks: ("call", name, what a student's process is sent), before its answer."""

    def __init__(self, asked: BinaryIO, answered: BinaryIO):
        self.asked, self.answered, self.device = asked, answered, Runtime.detect().device

    def ready(self) -> None:
        """Nothing but an answer: all is imported."""

    def train(self, request: Request) -> Trained:
        return train(request, {part: Remote(name, self._call) for part, name in request.functions})

    def _call(self, name: str, arguments: tuple, named: dict) -> Any:
        wire.send(self.answered, ("call", name, pickle.dumps(("call", name, arguments, named))))
        return result_of(wire.answer_in(wire.read(self.asked), self.device))


def serve(asked: BinaryIO, answered: BinaryIO) -> None:
    """Answer one request after the other, until the grader has no more."""
    trainer = Trainer(asked, answered)
    for what, *arguments in wire.requests(asked):
        try:
            answer = "done", getattr(trainer, what)(*arguments)
        except Exception as error:
            known = isinstance(error, StudentError | AirbenchError)
            words = str(error) if known else f"the training raised {type(error).__name__}: {error}"
            answer = "failed", words, getattr(error, "raised", "")
        wire.send(answered, answer)


if __name__ == "__main__":
    with os.fdopen(int(sys.argv[1]), "rb") as asked, os.fdopen(int(sys.argv[2]), "wb") as answered:
        serve(asked, answered)
