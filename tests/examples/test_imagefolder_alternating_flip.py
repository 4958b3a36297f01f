import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "examples" / "imagefolder_alternating_flip.py"
TINY = ["--batch-size", "8", "--size", "24", "32", "--test-size", "32", "--lr", "0.01", "--device", "cpu"]

# Python 3.12 and later warn of fork in a process with threads, which torch has; DataLoader's workers start no kernel.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[SCRIPT.stem] = module  # where the workers' pickles look for its functions
    spec.loader.exec_module(module)
    yield module
    del sys.modules[SCRIPT.stem]


@pytest.fixture(autouse=True)
def one_thread():
    threads, benchmark = torch.get_num_threads(), torch.backends.cudnn.benchmark
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = benchmark


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """8 pictures in each of 3 classes: red darkens to the right, green tells the picture, blue the class."""
    root = tmp_path_factory.mktemp("tree")
    for split in ("train", "val"):
        for label in range(3):
            folder = root / split / "abc"[label]
            folder.mkdir(parents=True)
            for number in range(8):
                row = bytes(value for x in range(48) for value in (250 - 5 * x, 30 * number, 120 * label))
                Image.frombytes("RGB", (48, 40), row * 40).save(folder / f"{number}.png")
    return root


@pytest.fixture
def run(example, tmp_path, tree, capfd):
    """Runs the example; gives its status, stdout, stderr, and the records in its log."""

    def run(*arguments, folder=tree):
        log = tmp_path / "log.jsonl"
        status = example.main([str(folder), *TINY, "--workers", "0", "--out", str(log), *map(str, arguments)])
        records = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return status, *capfd.readouterr(), records

    return run


def test_it_trains_and_tells_of_each_epoch(run, tree):
    status, out, err, records = run("--epochs", 4)
    assert (status, err) == (0, "")
    assert [record["epoch"] for record in records] == [1, 2, 3, 4]
    assert [record["pixels"] for record in records] == [24, 24, 24, 32]
    assert all(record["flip"] == "alternating" and record["images"] == 24 for record in records)
    assert records[-1]["train_loss"] < 0.8 * records[0]["train_loss"]
    assert records[-1]["top5"] == 1  # of three classes
    lines = out.splitlines()
    assert len(lines) == 4
    assert re.fullmatch(
        r"epoch 4 of 4: 32 pixels, loss [\d.]+, top-1 [\d.]+%, top-5 100.00%, trained in \d+ s", lines[3]
    )
    assert f"top-1 {records[3]['top1']:.2%}" in lines[3]
    assert run("--epochs", 1)[3][:4] == records  # what is there is kept


class Witness(torch.nn.Linear):
    """Notes for each training image, known by its green and blue, whether it was mirrored."""

    def __init__(self, num_classes):
        super().__init__(3, num_classes)
        self.seen = []

    def forward(self, images):
        if self.training:
            names = [(round(green, 2), round(blue, 2)) for green, blue in images[:, 1:].mean((2, 3)).tolist()]
            red = images[:, 0].sum(1)
            self.seen += zip(names, (red[:, 0] < red[:, -1]).tolist(), strict=True)
        return super().forward(images.mean((2, 3)))


@pytest.mark.parametrize(("flip", "workers"), [("none", 0), ("random", 0), ("alternating", 0), ("alternating", 2)])
def test_the_network_sees_the_images_turned_as_asked(example, run, monkeypatch, flip, workers):
    witnesses = []
    monkeypatch.setattr(example, "resnet18", lambda num_classes: witnesses.append(Witness(num_classes)) or witnesses[0])
    assert run("--flip", flip, "--epochs", 3, "--workers", workers)[0] == 0
    seen = witnesses[0].seen
    first, second, third = (dict(seen[start : start + 24]) for start in (0, 24, 48))
    assert len(first) == len(second) == len(third) == 24
    assert len(seen) == 72
    alternates = first == third == {name: not mirrored for name, mirrored in second.items()}
    assert alternates == (flip == "alternating")
    assert set((first | second | third).values()) == ({False} if flip == "none" else {True, False})


def test_crops_are_of_the_area_asked_for(example):
    for name, least in (("light", 0.35), ("heavy", 0.08)):
        (crop, *_) = example.augmentation(32, example.argparse.Namespace(crop=name, flip="random")).transforms
        assert crop.scale == (least, 1)


def test_the_learning_rate_rises_for_two_epochs_and_falls_to_nothing(example):
    args = example.argparse.Namespace(lr=0.5, epochs=16)
    rates = [example.learning_rate(at, args) for at in (0, 1, 2, 9, 16)]
    assert rates == pytest.approx([5e-5, 0.250025, 0.5, 0.25, 0])
    assert example.learning_rate(0.5, example.argparse.Namespace(lr=1, epochs=1)) == 1


def test_only_batchnorm_is_spared_weight_decay(example):
    model = example.resnet18(num_classes=3)
    decayed, spared = example.parameter_groups(model, 0.1)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0)
    assert len(spared["params"]) == 40  # 20 BatchNorms, those of the shortcuts too
    assert len(decayed["params"]) + 40 == len(list(model.parameters()))


def test_mirror_images_are_averaged_and_all_images_counted(example):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))
    model[1].weight.data = torch.tensor([[1.0, -2, 0, 0], [0, 0, 0, 0]])
    images = torch.tensor([[[[1.0, 0], [0, 0]]], [[[-1.0, 0], [0, 0]]], [[[0.0, 1], [0, 0]]]])
    # Logits of class 0: 1, -1, -2; with the mirror images added -1, 1, -1.
    batches = [(images[:2], torch.tensor([1, 0])), (images[2:], torch.tensor([0]))]
    assert example.evaluate(model, iter(batches)) == pytest.approx([2 / 3, 1])


def test_help_ends_with_the_commands_for_imagenet(example, capsys):
    with pytest.raises(SystemExit) as ended:
        example.main(["--help"])
    assert ended.value.code == 0
    *_, alternating, other = capsys.readouterr().out.rstrip().splitlines()
    for command, flip in ((alternating, "alternating"), (other, "random")):
        script, *arguments = command.split()[1:]
        assert (SCRIPT.parents[1] / script).is_file()
        args = example.parse(arguments)
        assert (args.flip, args.epochs, args.batch_size, args.lr, args.size) == (flip, 16, 1024, 0.5, [160, 192])


def remove(path):
    shutil.rmtree(path)


def truncate(path):
    path.write_bytes(path.read_bytes()[:100])


def scribble(path):
    path.write_text("no image")


def empty(path):
    for each in path.iterdir():
        (shutil.rmtree if each.is_dir() else Path.unlink)(each)


def reduce_to_one(path):
    for split in ("train", "val"):
        shutil.rmtree(path / split / "b")
        shutil.rmtree(path / split / "c")


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        (remove, "train", "there is no folder {}: give one with train/ and val/"),
        (remove, "val", "there is no folder {}: give one with train/ and val/"),
        (empty, "train", "Couldn't find any class folder in {}"),
        (empty, "val/b", "val is not made of one folder of images per class: Found no valid file for the classes b"),
        (remove, "val/b", "must have the same classes, but b is in one only"),
        (reduce_to_one, ".", "train has one class only, a: two are needed"),
        (truncate, "train/b/3.png", "cannot read the image {} (OSError): mend or remove it"),
        (scribble, "val/c/0.png", "cannot read the image {} (UnidentifiedImageError): mend or remove it"),
    ],
)
def test_a_bad_tree_is_one_line(run, tree, tmp_path, change, where, message):
    shutil.copytree(tree, tmp_path / "tree")
    change(tmp_path / "tree" / where)
    status, _, err, _ = run("--epochs", 1, folder=tmp_path / "tree")
    assert status == 1
    assert message.format(tmp_path / "tree" / where) in err
    assert err.startswith("imagefolder_alternating_flip: error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--batch-size", 25], 2, "train has 24 images, no batch of 25: lower --batch-size"),
        (["--batch-size", 1], 2, "--batch-size 1 is not legal: 2 to"),
        (["--epochs", 0], 2, "--epochs 0 is not legal: 1 to"),
        (["--epochs", "x"], 2, "argument --epochs: invalid int value: 'x'"),
        (["--size", 32, 0], 2, "--size 0 is not legal"),
        (["--lr", "nan"], 2, "--lr nan is not legal"),
        (["--label-smoothing", 1.5], 2, "--label-smoothing 1.5 is not legal: 0 to 1"),
        (["--seed", -1], 2, "--seed -1 is not legal"),
        (["--flip", "sideways"], 2, "argument --flip: invalid choice: 'sideways'"),
        (["--device", "abacus"], 2, "device=abacus is not legal"),
        (["--out", "/no/such/folder/log"], 1, "cannot write /no/such/folder/log: No such file or directory; choose"),
        (["--lr", 1e6, "--epochs", 2], 1, "the training loss of epoch 2 is nan: try a smaller --lr"),
    ],
)
def test_a_wrong_request_is_one_line(run, arguments, status, message):
    got, _, err, _ = run(*arguments)
    assert got == status
    assert message in err
    assert err.count("\n") == 1


def test_an_image_that_a_worker_cannot_read_is_one_line_too(run, tree, tmp_path):
    shutil.copytree(tree, tmp_path / "tree")
    bad = tmp_path / "tree" / "val" / "a" / "0.png"
    truncate(bad)
    status, _, err, _ = run("--epochs", 1, "--workers", 1, folder=tmp_path / "tree")
    assert status == 1
    assert err == f"imagefolder_alternating_flip: error: cannot read the image {bad} (OSError): mend or remove it\n"


@pytest.mark.skipif(os.name == "nt", reason="no process groups")
def test_ctrl_c_ends_it_without_a_traceback(tree, tmp_path):
    command = [sys.executable, SCRIPT, tree, *TINY, "--epochs", "9999", "--workers", "2", "--out", tmp_path / "log"]
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[1]), "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, start_new_session=True, **pipes) as process:
        try:
            assert process.stdout.readline().startswith("epoch 1 of 9999: 24 pixels, loss ")
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to the workers too
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert errors == "imagefolder_alternating_flip: stopped\n"
    assert process.returncode == 130
