"""A trained network kept in a file: what is loaded classifies as it did; what is no model is refused in one line."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from airbench_core import AIRBENCH94, AIRBENCH96, RESNET18, AirbenchError, DataError, UsageError, load, train
from airbench_core.models import check_savable

RECIPES = {
    "airbench94": replace(AIRBENCH94, epochs=1),
    "airbench96": replace(AIRBENCH96, epochs=1, tta="mirror"),
    "resnet18": replace(RESNET18, epochs=0.5, batch_size=1024, lr=0.1, tta="none"),
}


@pytest.fixture(scope="module")
def result(noise, tiny):
    from airbench_core import Runtime

    runtime = Runtime(device=torch.device("cpu"), dtype=torch.float32, threads=1)
    return train(RECIPES["airbench94"], noise, scale=tiny, runtime=runtime)


@pytest.fixture
def path(result, tmp_path):
    result.save(tmp_path / "model.pt")
    return tmp_path / "model.pt"


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_is_loaded_says_what_the_run_predicted(recipe, noise, tiny, float32, tmp_path):
    result = train(RECIPES[recipe], noise, scale=tiny, runtime=float32)
    result.save(tmp_path / "model.pt")
    model = load(tmp_path / "model.pt")
    shares = model.shares(noise.test_images, float32)
    torch.testing.assert_close(shares.sum(1), torch.ones(len(shares)))
    assert torch.equal(shares.argmax(1), result.predictions[result.recipe.tta])
    assert model.recipe == result.recipe
    assert (model.classes, model.mean, model.std, model.size) == (noise.classes, noise.mean, noise.std, 32)
    assert model.classify(noise.test_images, float32) == [noise.classes[i] for i in shares.argmax(1)]
    torch.testing.assert_close(result.model.shares(noise.test_images, float32), shares)


def test_pictures_of_any_kind_and_size_are_seen_alike(path, noise, tmp_path, float32):
    model, tensor = load(path), noise.test_images[0]
    array = tensor.permute(1, 2, 0).numpy()
    image = Image.fromarray(array)
    image.save(tmp_path / "picture.png")
    expected = model.shares(tensor, float32)
    kinds = tensor[None], array, array[None], image, tmp_path / "picture.png", str(tmp_path / "picture.png"), [image]
    for one in kinds:
        assert torch.equal(model.shares(one, float32), expected)
    assert len(model.classify([tensor, array, tmp_path / "picture.png"])) == 3
    assert model.classify(noise.test_images[:0]) == []
    large = Image.fromarray(np.asarray(image).repeat(5, 0).repeat(5, 1))
    wide = Image.new("RGB", (400, 160), "red")  # what is beside the square in the middle is not seen
    wide.paste(large, (120, 0))
    torch.testing.assert_close(model.shares(wide, float32), expected, atol=0.02, rtol=0)
    for wrong in (
        tensor / 255,
        tensor.float(),
        np.zeros((3, 32, 32), np.uint8),
        torch.zeros(4, 32, 32).byte(),
        3,
        None,
    ):
        with pytest.raises(UsageError, match="a picture is a file"):
            model.classify(wrong)


def test_a_file_that_is_no_model_is_never_overwritten(result, path, tmp_path):
    before = path.read_bytes()
    result.save(path)  # another model may be
    assert len(path.read_bytes()) == len(before)
    notebook = tmp_path / "lesson.ipynb"
    notebook.write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for taken in (notebook, tmp_path, tmp_path / "link"):
        with pytest.raises(UsageError, match="name another file"):
            result.save(taken)
    assert notebook.read_text() == "{}"
    with pytest.raises(AirbenchError, match="cannot write the model"):
        result.save(tmp_path / "no such folder" / "model.pt")
    assert sorted(os.listdir(tmp_path)) == ["lesson.ipynb", "link", "model.pt"]


def test_a_name_that_cannot_be_is_refused_before_a_run(tmp_path):
    with pytest.raises(AirbenchError, match=r"cannot write the model .*too long"):
        check_savable(tmp_path / ("a" * 300))


def test_a_folder_that_cannot_be_written_is_found_before_a_run_though_a_model_is_there(path, monkeypatch):
    check_savable(path)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(AirbenchError, match=r"cannot write the model .*cannot be written"):
        check_savable(path)


def test_a_disk_that_fails_leaves_the_model_that_was_there(result, path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AirbenchError, match=r"cannot write the model .*No space left"):
        result.save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


class Malicious:
    def __reduce__(self):
        return os.system, ("echo executed >&2",)


def change(path, **values):
    kept = torch.load(path, weights_only=True)
    torch.save(kept | values, path)


def weights(path, of):
    return {name: of(one) for name, one in torch.load(path, weights_only=True)["weights"].items()}


@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
def test_weights_of_another_precision_are_those_of_the_same_network(path, kind, noise):
    shares = load(path).shares(noise.test_images[:8])
    change(path, weights=weights(path, lambda one: one.to(kind) if one.is_floating_point() else one))
    assert torch.allclose(load(path).shares(noise.test_images[:8]), shares, atol=0.02)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1000]),
        lambda path: path.write_bytes(path.read_bytes()[:1000]),
        lambda path: path.write_text("<html>"),
        lambda path: path.write_bytes(pickle.dumps(Malicious())),
        lambda path: torch.save(Malicious(), path),
        lambda path: torch.save([1, 2], path),
        lambda path: torch.save(torch.nn.Linear(2, 2).state_dict(), path),
        lambda path: change(path, format="airbench model 2"),
        lambda path: change(path, recipe={"widths": [1, 2, 3], "of the future": 1}),
        lambda path: change(path, recipe={"widths": (4096,) * 3, "depth": 8}),  # 14 GB, if they were made
        lambda path: change(path, recipe={"flip": "sideways"}),
        lambda path: change(path, size=5),
        lambda path: change(path, classes=["one", "two"]),
        lambda path: change(path, mean=(0.5,)),
        lambda path: change(path, std=(0.0, 1.0, 1.0)),
        lambda path: change(path, mean=(float("nan"), 0.5, 0.5)),
        lambda path: change(path, std=(float("inf"),) * 3),
        lambda path: change(path, classes=["\x1b[31m", *"abcdefghi"]),
        lambda path: change(path, weights=weights(path, lambda one: one * float("nan"))),
        lambda path: change(path, weights={}),
        lambda path: change(path, weights=None),
        lambda path: path.unlink(),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), os.mkfifo(path)),
    ],
)
def test_what_is_no_model_is_refused_in_one_line_and_never_executed(damage, path, capfd):
    damage(path)
    with pytest.raises(DataError, match="model") as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert "Re-running" not in str(caught.value)  # torch's advice for such a file is to execute it
    assert "executed" not in capfd.readouterr().err


def test_a_model_is_loaded_where_nothing_was_imported_before(noise, tiny, float32, tmp_path):
    """ResNet-18's parts are imported when one is made."""
    train(RECIPES["resnet18"], noise, scale=tiny, runtime=float32).save(tmp_path / "model.pt")
    code = f"from airbench_core import load; print(len(load({str(tmp_path / 'model.pt')!r}).classes))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{len(noise.classes)}\n", "")
