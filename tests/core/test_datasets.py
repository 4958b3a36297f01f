"""Finding, verifying and reading data sets, on small archives in torchvision's format."""

import hashlib
import os
import pickle
import shutil
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets

from airbench_core import datasets, downloads
from airbench_core.datasets import Dataset, load_dataset, pixel_statistics
from airbench_core.errors import DataError, UsageError

FOLDER, ARCHIVE = "cifar-10-batches-py", "cifar-10-python.tar.gz"
BATCHES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A folder with a small CIFAR-10, extracted and as the archive: 20 pictures a batch."""
    root = tmp_path_factory.mktemp("small")
    (root / FOLDER).mkdir()
    rng = np.random.RandomState(0)
    contents = {
        name: {"data": rng.randint(0, 256, (20, 3072), np.uint8), "labels": rng.randint(0, 10, 20).tolist()}
        for name in BATCHES
    }
    for name, content in {**contents, "batches.meta": {"label_names": CLASSES}}.items():
        (root / FOLDER / name).write_bytes(pickle.dumps(content))
    with tarfile.open(root / ARCHIVE, "w:gz") as tar:
        tar.add(root / FOLDER, FOLDER)
    return root


@pytest.fixture(autouse=True)
def empty_machine(small, monkeypatch, tmp_path):
    """No AIRBENCH_DATA, an empty cache, no mirrors, and torchvision expects the md5s of the small CIFAR-10."""

    def md5(path: Path) -> str:
        return hashlib.md5(path.read_bytes()).hexdigest()

    reader = torchvision.datasets.CIFAR10
    md5s = [[name, md5(small / FOLDER / name)] for name in BATCHES]
    monkeypatch.setattr(reader, "train_list", md5s[:5])
    monkeypatch.setattr(reader, "test_list", md5s[5:])
    monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": md5(small / FOLDER / "batches.meta")})
    monkeypatch.setattr(reader, "tgz_md5", md5(small / ARCHIVE))
    monkeypatch.delenv("AIRBENCH_DATA", raising=False)
    monkeypatch.setattr(datasets, "cache_folder", lambda: tmp_path / "cache")

    def no_network(*args, **kwargs):
        pytest.fail("a download was started")

    monkeypatch.setattr(downloads, "download", no_network)


@pytest.fixture
def fake_download(small, monkeypatch):
    """Downloads succeed; the list of what was asked for."""
    asked = []

    def fake(urls, path, md5, *, progress=None):
        asked.append(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(small / ARCHIVE, path))

    monkeypatch.setattr(downloads, "download", fake)
    return asked


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def extracted(small: Path, root: Path) -> Path:
    return Path(shutil.copytree(small / FOLDER, root / FOLDER))


def test_reading(small):
    data = load_dataset("cifar10", small)
    assert data.name == "cifar10"
    assert data.classes == tuple(CLASSES)
    batches = [pickle.loads((small / FOLDER / name).read_bytes()) for name in BATCHES]
    images = torch.tensor(np.concatenate([batch["data"] for batch in batches])).view(-1, 3, 32, 32)
    labels = torch.tensor([label for batch in batches for label in batch["labels"]])
    assert (data.mean, data.std) == pixel_statistics(images[:100])
    torch.testing.assert_close(data.train_images, images[:100], rtol=0, atol=0)
    torch.testing.assert_close(data.test_images, images[100:], rtol=0, atol=0)
    torch.testing.assert_close(data.train_labels, labels[:100], rtol=0, atol=0)
    torch.testing.assert_close(data.test_labels, labels[100:], rtol=0, atol=0)
    assert data.train_images.is_contiguous()


def test_each_file_is_hashed_once(small, monkeypatch):
    hashed = []
    md5_of = datasets.md5_of
    monkeypatch.setattr(datasets, "md5_of", lambda path: hashed.append(path.name) or md5_of(path))
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda path, md5: hashed.append(path) or True)
    load_dataset("cifar10", small)
    assert sorted(name for name in hashed if "meta" not in str(name)) == BATCHES


@pytest.mark.parametrize("name", [*BATCHES, "batches.meta"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "altered", "a folder"])
def test_broken_file_is_named_with_the_remedy(small, root, name, damage):
    path = extracted(small, root) / name
    good = path.read_bytes()
    path.unlink()
    if damage == "truncated":
        path.write_bytes(good[: len(good) // 2])
    elif damage == "altered":
        path.write_bytes(good[:-2] + bytes([good[-2] ^ 1]) + good[-1:])
    elif damage == "a folder":
        path.mkdir()
    for which in ("cifar10", "auto"):  # what is broken is never passed over in silence
        with pytest.raises(DataError) as caught:
            load_dataset(which, root)
        message = str(caught.value)
        assert str(path) in message
        assert "airbench data cifar10" in message
        assert "\n" not in message


def test_broken_copy_is_not_passed_over_for_a_good_one(small, root, monkeypatch):
    (root / FOLDER).mkdir()
    monkeypatch.setenv("AIRBENCH_DATA", str(small))
    with pytest.raises(DataError, match="data_batch_1 is missing"):
        load_dataset("cifar10", root)


def test_archive_is_extracted_beside_itself(small, root):
    shutil.copy(small / ARCHIVE, root)
    data = load_dataset("cifar10", root)
    assert data.digest == load_dataset("cifar10", small).digest
    assert sorted(path.name for path in root.iterdir() if path.suffix != ".lock") == [FOLDER, ARCHIVE]
    (root / ARCHIVE).unlink()
    assert load_dataset("cifar10", root).digest == data.digest


def test_killed_extraction_leaves_no_trace(small, root):
    shutil.copy(small / ARCHIVE, root)
    part = root / (FOLDER + ".part")
    (part / FOLDER).mkdir(parents=True)
    (part / FOLDER / "data_batch_1").write_bytes(b"half")
    (part / "other").write_bytes(b"left over")
    load_dataset("cifar10", root)
    assert not part.exists()


@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_broken_archive_is_named_and_not_extracted(small, root, damage):
    good = (small / ARCHIVE).read_bytes()
    bad = good[: len(good) // 2] if damage == "truncated" else good[:-5] + bytes([good[-5] ^ 1]) + good[-4:]
    (root / ARCHIVE).write_bytes(bad)
    for which in ("cifar10", "auto"):
        with pytest.raises(DataError, match=r"truncated or altered.*delete it.*airbench data cifar10"):
            load_dataset(which, root)
    assert not (root / FOLDER).exists()


@pytest.fixture
def archive(small):
    """The bytes of the archive, read before `plain_user`, who may not see root's temporary folders."""
    return (small / ARCHIVE).read_bytes()


@pytest.fixture
def plain_user():
    """A folder of a user who is not root, as whom the test then runs: permissions mean nothing to root."""
    folder = Path(tempfile.mkdtemp())
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    try:
        if root:
            folder.chmod(0o755)
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        (folder / "probe").mkdir(mode=0o555)
        if os.access(folder / "probe", os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            pytest.skip("this system does not keep a user from writing to a read-only folder")
        yield folder
    except PermissionError:
        pytest.skip("root may not become another user here")
    finally:
        if root:
            os.seteuid(0)
        for place in folder.rglob("*"):
            if place.is_dir():
                place.chmod(0o755)
        shutil.rmtree(folder)


def test_archive_in_a_read_only_folder_is_extracted_into_the_cache(archive, plain_user, monkeypatch):
    cache = plain_user / "cache"
    monkeypatch.setattr(datasets, "cache_folder", lambda: cache)
    root = plain_user / "root"
    root.mkdir()
    (root / ARCHIVE).write_bytes(archive)
    root.chmod(0o555)
    digest = load_dataset("cifar10", root).digest
    assert [path.name for path in root.iterdir()] == [ARCHIVE]
    extracted_at = (cache / FOLDER).stat().st_mtime_ns
    assert load_dataset("cifar10", root).digest == digest
    assert (cache / FOLDER).stat().st_mtime_ns == extracted_at  # not extracted twice


def test_read_only_airbench_data_is_not_downloaded_into(archive, plain_user, monkeypatch):
    data = plain_user / "data"
    data.mkdir(mode=0o555)
    monkeypatch.setattr(datasets, "cache_folder", lambda: plain_user / "cache")
    monkeypatch.setenv("AIRBENCH_DATA", str(data))
    asked = []

    def fake(urls, path, md5, *, progress=None):
        asked.append(path)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(archive)
        return path

    monkeypatch.setattr(downloads, "download", fake)
    load_dataset("cifar10")
    assert asked == [plain_user / "cache" / ARCHIVE]


def test_search_order(small, root, tmp_path, monkeypatch):
    """Argument, AIRBENCH_DATA, cache: each is hidden by those before it, told apart by which one is broken."""
    environ, cache = tmp_path / "environ", tmp_path / "cache"
    monkeypatch.setenv("AIRBENCH_DATA", str(environ))
    for place in (cache, environ, root):
        (place / FOLDER).mkdir(parents=True)
        with pytest.raises(DataError) as caught:
            load_dataset("cifar10", root)
        assert str(place / FOLDER) in str(caught.value)


def test_download_goes_into_root_else_airbench_data_else_the_cache(fake_download, root, tmp_path, monkeypatch):
    load_dataset("cifar10", tmp_path / "new" / "root")
    load_dataset("cifar10")
    monkeypatch.setenv("AIRBENCH_DATA", str(tmp_path / "environ"))
    shutil.rmtree(tmp_path / "cache")
    load_dataset("cifar10")
    load_dataset("cifar10", root)  # found in AIRBENCH_DATA: not downloaded again
    places = [tmp_path / "new" / "root", tmp_path / "cache", tmp_path / "environ"]
    assert fake_download == [place / ARCHIVE for place in places]


def test_no_download_when_told_so(root, tmp_path):
    with pytest.raises(DataError) as caught:
        load_dataset("cifar10", root, download=False)
    message = str(caught.value)
    assert "\n" not in message
    for words in (str(root), str(tmp_path / "cache"), "airbench data cifar10", "AIRBENCH_DATA"):
        assert words in message


def test_auto_takes_cifar10_from_disk(small, capsys):
    assert load_dataset("auto", small).name == "cifar10"
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert str(small) in lines[0]


def test_auto_takes_the_built_in_pictures_else(root, capsys, monkeypatch):
    monkeypatch.setattr("airbench_core.builtin.TRAIN", 20)
    monkeypatch.setattr("airbench_core.builtin.TEST", 10)
    assert load_dataset("auto", root).name == "builtin"
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "built-in" in lines[0]
    assert "airbench data cifar10" in lines[0]


def test_unknown_name():
    with pytest.raises(UsageError, match=r"cifar11.*auto, cifar10, builtin"):
        load_dataset("cifar11")


def make(n: int = 8, m: int = 4) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n + m, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 10, (n + m,), generator=generator)
    return Dataset("x", images[:n], labels[:n], images[n:], labels[n:], tuple(CLASSES), (0.5,) * 3, (0.25,) * 3)


def test_labels_may_be_the_first_and_the_last_class():
    data = make()
    data.train_labels[:2] = torch.tensor([0, 9])
    assert replace(data).train_labels[:2].tolist() == [0, 9]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train_images": torch.zeros(8, 3, 32, 32)}, ("train_images", "torch.uint8", "torch.float32")),
        ({"test_images": torch.zeros(4, 32, 32, 3).byte()}, ("test_images", "(N, 3, H, H)", "(4, 32, 32, 3)")),
        ({"train_images": torch.zeros(8, 3, 32, 28).byte()}, ("train_images", "(N, 3, H, H)", "(8, 3, 32, 28)")),
        ({"train_images": torch.zeros(8, 3072).byte()}, ("train_images", "(N, 3, H, H)", "(8, 3072)")),
        ({"test_images": torch.zeros(4, 3, 28, 28).byte()}, ("32 x 32", "test_images", "28 x 28")),
        ({"train_labels": torch.zeros(7).long()}, ("8 train_images", "7 train_labels")),
        ({"test_images": torch.zeros(0, 3, 32, 32).byte(), "test_labels": torch.zeros(0).long()}, ("no test_images",)),
        ({"train_labels": torch.zeros(8).int()}, ("train_labels", "torch.int64", "torch.int32")),
        ({"train_labels": torch.zeros(8, 10).long()}, ("train_labels", "(N,)", "(8, 10)")),
        ({"train_labels": torch.tensor([1] * 5 + [10] * 3)}, ("train_labels[5] is 10", "10 classes are 0 to 9")),
        ({"test_labels": torch.tensor([1, 1, -1, 1])}, ("test_labels[2] is -1", "10 classes are 0 to 9")),
        ({"classes": ("digit",)}, ("1 class", "at least 2")),
        ({"classes": ("twin", *CLASSES[1:9], "twin")}, ("two classes", "'twin'")),
        ({"mean": (0.5, 0.5)}, ("mean", "3 numbers", "(0.5, 0.5)")),
        ({"mean": (0.5, 0.5, float("nan"))}, ("mean", "3 numbers", "nan")),
        ({"std": (0.2, "0.3", 0.2)}, ("std", "3 numbers", "'0.3'")),
        ({"std": (0.2, 0.2, 0.0)}, ("std", "above 0", "0.0")),
    ],
)
def test_what_is_no_data_set_is_refused_in_one_line(change, words):
    with pytest.raises(UsageError) as caught:
        replace(make(), **change)
    message = str(caught.value)
    assert message.startswith("data set x: ")
    assert "\n" not in message
    for word in words:
        assert word in message


def test_mean_and_std_are_exact_for_any_number_and_size_of_images():
    images = torch.randint(0, 256, (250, 3, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[:, 1] //= 3
    images[:, 2] = 51
    mean, std = pixel_statistics(images)
    pixels = images.numpy() / 255
    assert mean == (*pixels[:, :2].mean((0, 2, 3)).round(4), 0.2)
    assert std == (*pixels[:, :2].std((0, 2, 3)).round(4), 0.0)


def test_head():
    data = make()
    few = data.head(3, None)
    assert (few.train_images == data.train_images[:3]).all()
    assert (few.train_labels == data.train_labels[:3]).all()
    assert few.test_images.shape[0] == few.test_labels.shape[0] == 4
    assert data.head(100, 100).digest == data.head(None, None).digest == data.digest
    assert few.digest != data.digest
    for wrong in ((0, None), (None, -1)):
        with pytest.raises(UsageError):
            data.head(*wrong)


def test_digest_depends_on_every_byte_and_shape_but_not_on_memory_layout_or_copies():
    data = make()
    assert data.digest == make().digest
    assert len(data.digest) == 16
    for field in ("train_images", "train_labels", "test_images", "test_labels"):
        other = make()
        getattr(other, field).view(-1)[-1] += 1
        assert other.digest != data.digest, field
    reshaped = make()
    object.__setattr__(reshaped, "train_images", reshaped.train_images.view(-1, 3, 16, 64))
    assert reshaped.digest != data.digest
    strided = make()
    object.__setattr__(strided, "train_images", strided.train_images.to(memory_format=torch.channels_last))
    assert strided.digest == data.digest


def test_to_moves_every_tensor():
    moved = make().to("meta")
    tensors = (moved.train_images, moved.train_labels, moved.test_images, moved.test_labels)
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert make().to("cpu").digest == make().digest


def test_values_on_another_device_are_not_waited_for():
    """Values on the meta device cannot be read at all."""
    assert make().to("meta").head(2, 2).train_labels.shape == (2,)
    with pytest.raises(UsageError, match="uint8"):
        replace(make().to("meta"), train_images=torch.zeros(8, 3, 32, 32, device="meta"))


def test_mirrors_end_with_the_original_host():
    hosts = [url.split("/")[2] for url in datasets.CIFAR10.mirrors]
    assert len(set(hosts)) == len(hosts) >= 3
    assert datasets.CIFAR10.mirrors[-1] == torchvision.datasets.CIFAR10.url
    assert all(url.startswith("https://") and ARCHIVE in url for url in datasets.CIFAR10.mirrors)


def test_the_genuine_cifar10(cifar10):
    assert cifar10.digest == "ad1a54dfad01caa9"
    assert cifar10.train_labels.bincount().tolist() == [5_000] * 10
    assert cifar10.test_labels.bincount().tolist() == [1_000] * 10
    assert cifar10.mean == (0.4914, 0.4822, 0.4465)
    assert cifar10.std == (0.2470, 0.2435, 0.2616)
