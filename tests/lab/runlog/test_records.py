import base64
import copy
import json
import zlib

import pytest
from airbench_lab import runlog
from airbench_lab.runlog import lines
from airbench_lab.runlog.records import FIELDS, checked
from hypothesis import given, settings
from hypothesis import strategies as st

from airbench_core import AirbenchError, UsageError

PACKED = base64.b64encode(zlib.compress(bytes(20))).decode()
EPOCH = {"epoch": 1, "epochs": 1.0, "train_loss": 2.3, "accuracy": None, "seconds": None}
DIVERGED = {"kind": "diverged", "message": "the training loss is nan"}


@pytest.fixture(scope="session")
def whole(record) -> dict:
    """A record with every field of a finished run."""
    return {**record(graphs=False), "parts": ["whiten"], "epochs": [EPOCH], "predictions": {"none": PACKED}}


def changed(values: dict, *path: str | int, value) -> dict:
    """`values` with another value at "epochs", 0, "accuracy"; without that field for `...`."""
    values = place = copy.deepcopy(values)
    *path, last = path
    for part in path:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return values


def test_a_legal_record_comes_back_as_it_was_and_what_is_in_no_table_does_not(whole):
    assert checked(whole) == whole
    assert checked({**whole, "later": 1, "runtime": {**whole["runtime"], "cache": "\x1b[31m"}}) == whole
    failed = {name: value for name, value in whole.items() if name in {field.split(".")[0] for field in FIELDS}}
    assert checked(failed | {"failed": DIVERGED})["failed"] == DIVERGED
    lacking = {"seconds": None, "accuracies": {}, "epochs": []}
    assert checked({**whole, **lacking}) == {**whole, **lacking}


ILLEGAL = [
    ("accuracy", 94.0, "accuracy=94.0 is not legal: 0 to 1"),
    ("accuracy", "0.94", "accuracy='0.94' is not legal: 0 to 1"),
    ("accuracy", None, "accuracy=None is not legal: 0 to 1"),
    ("accuracy", True, "accuracy=True is not legal: 0 to 1"),
    ("accuracy", float("nan"), "accuracy=nan is not legal: 0 to 1"),
    ("accuracies.none", 1.5, "accuracies.none=1.5 is not legal: 0 to 1"),
    ("accuracies", [0.5], "accuracies=[0.5] is not legal: an object"),
    ("seconds", -5, "seconds=-5 is not legal: 0 to 1,000,000,000.0 or null"),
    ("epochs", {}, "epochs={} is not legal: a list"),
    ("epochs", [7], "epochs[0]=7 is not legal: an object"),
    ("epochs.0.accuracy", 71, "epochs[0].accuracy=71 is not legal: 0 to 1 or null"),
    ("epochs.0.epochs", ..., "not the record of a run (no epochs[0].epochs): name a log of runs"),
    ("data", "cifar10", "data='cifar10' is not legal: an object"),
    ("data.digest", ..., "not the record of a run (no data.digest): name a log of runs"),
    ("data.name", 7, "data.name=7 is not legal: text"),
    ("runtime", None, "runtime=None is not legal: an object"),
    ("runtime.threads", 0, "runtime.threads=0 is not legal: a whole number, 1 to 1,000,000"),
    ("runtime.compile", 1, "runtime.compile=1 is not legal: true or false"),
    ("seed", 1.5, "seed=1.5 is not legal: a whole number"),
    ("started", "yesterday", "started='yesterday' is not legal: a time such as"),
    ("started", "9999-12-31T23:59:59+00:00", "started='9999-12-31T23:59:59+00:00' is not legal: a time such as"),
    ("recipe", [], "recipe=[] is not legal: an object"),
    ("recipe.whiten", 1, "recipe: whiten=1 is not legal: true or false"),
    ("recipe.widths", [[1], 2, 3], "recipe: widths=[[1], 2, 3] is not legal: whole numbers"),
    ("recipe.flp", "random", "recipe: unknown recipe field 'flp'; did you mean flip?"),
    ("asked.flip", {"a": 1}, "asked: flip={'a': 1} is not legal: none or random or alternating"),
    ("failed", {}, "not the record of a run (no failed.kind): name a log of runs"),
    ("failed", {"kind": [], "message": ""}, "failed.kind=[] is not legal: diverged, error or died"),
    ("parts", "whiten", "parts='whiten' is not legal: a list"),
    ("predictions", None, "predictions=None is not legal: an object"),
    ("predictions.none", "!", "predictions.none='!' is not legal: classes, packed"),
    ("predictions.none", PACKED[:-8], "is not legal: classes, packed"),
    ("predictions.none", base64.b64encode(zlib.compress(b"odd")).decode(), "is not legal: classes, packed"),
    ("predictions.none", base64.b64encode(zlib.compress(bytes(2**25))).decode(), "is not legal: classes, packed"),
    ("schema", {}, "a record of schema {}, and airbench "),
]


@pytest.mark.parametrize(("name", "value", "told"), ILLEGAL, ids=lambda value: str(value)[:40])
def test_what_is_not_legal_is_named_with_the_file_and_the_line(name, value, told, whole, tmp_path):
    place = [int(part) if part.isdigit() else part for part in name.split(".")]
    log = tmp_path / "runs.jsonl"
    log.write_text(json.dumps(whole) + "\n" + json.dumps(changed(whole, *place, value=value)) + "\n")
    with pytest.raises(AirbenchError) as error:
        runlog.load(log)
    assert str(error.value).startswith(f"{log}, line 2: ")
    assert told in str(error.value)


def test_texts_of_a_log_do_nothing_to_a_terminal(whole):
    red = changed(whole, "runtime", "name", value="\x1b[31mred\r\n")
    red = changed(red, "data", "name", value="\ud800\u202e")
    assert checked(red)["runtime"]["name"] == "\\x1b[31mred\\r\\n"
    assert checked(red)["data"]["name"] == "\\ud800\\u202e"


def places(value, place: tuple = ()) -> list[tuple]:
    """Of all that is in a record."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [one for key, item in items for one in [(*place, key), *places(item, (*place, key))]]


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
ODD = st.recursive(PLAIN, lambda odd: st.lists(odd, max_size=3) | st.dictionaries(st.text(max_size=5), odd, max_size=3))


@settings(max_examples=300)
@given(data=st.data())
def test_whatever_is_written_in_a_record_it_is_legal_or_refused_in_one_line(data, whole):
    values = whole
    for _ in range(data.draw(st.integers(1, 3))):
        values = changed(values, *data.draw(st.sampled_from(places(values))), value=data.draw(ODD | st.just(...)))
    try:
        legal = checked(json.loads(json.dumps(values)))
    except UsageError as error:
        told = str(error)
        assert told.isprintable() and len(told) < 1500  # noqa: PT018
        return
    assert checked(legal) == legal
    assert "failed" in legal or 0 <= legal["accuracy"] <= 1
    assert json.dumps(legal, ensure_ascii=False).isprintable()


def test_what_is_appended_to_must_be_a_log_of_runs(whole, tmp_path):
    log = tmp_path / "runs.jsonl"
    lines.append(log, {"key": "of another log"}, "it")
    with pytest.raises(AirbenchError, match=r"runs.jsonl, line 1: not the record of a run \(no schema\)"):
        runlog.check_writable(log)
    log.write_text(json.dumps({**whole, "schema": 1}) + "\n")
    with pytest.raises(AirbenchError, match=r"runs.jsonl, line 1: a record of schema 1"):
        runlog.check_writable(log)
    log.write_text(json.dumps(whole)[:100])  # the process that wrote the first one was killed
    runlog.check_writable(log)
