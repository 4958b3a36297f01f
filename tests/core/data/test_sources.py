"""Finding, fetching, verifying and reading data sets, on small ones in the formats that torchvision reads."""

import hashlib
import os
import pickle
import shutil
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np
import pytest
import scipy.io
import torch
import torchvision.datasets

from airbench_core.data import downloads, sources
from airbench_core.data.datasets import load_dataset
from airbench_core.data.sources import SOURCES
from airbench_core.errors import DataError

BATCHES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
CIFAR100 = [f"thing {i}" for i in range(100)]


@dataclass(frozen=True)
class Small:
    """A data set of 20 pictures a file in the genuine one's format, and what reading it must give."""

    name: str
    root: Path  # holds it extracted and, if it comes as one, the archive
    files: tuple[str, ...]  # under `root`, all that are verified
    downloads: tuple[str, ...]  # under `root`: the archive, or the files themselves
    images: np.ndarray  # (N + 20, 3, 32, 32): the last 20 are the test images
    labels: np.ndarray  # (N + 20,)
    classes: tuple[str, ...]

    @property
    def archive(self) -> str:
        return self.downloads[0]

    @property
    def folder(self) -> str:
        return os.path.dirname(self.files[0])

    def copy_to(self, root: Path, names: Iterable[str]) -> None:
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.root / name, root / name)

    def md5(self, name: str) -> str:
        return hashlib.md5((self.root / name).read_bytes()).hexdigest()


def make_cifar(name, root, folder, archive, batches, meta, key, classes) -> Small:
    """`batches` and `meta` are file names, `key` is what the labels are called; the last batch is the test batch."""
    (root / folder).mkdir()
    rng = np.random.RandomState(0)
    data = [rng.randint(0, 256, (20, 3072), np.uint8) for _ in batches]
    labels = [rng.randint(0, len(classes), 20) for _ in batches]
    contents = [
        {"data": d, key: each.tolist(), "coarse_labels": [0] * 20} for d, each in zip(data, labels, strict=True)
    ]
    names = {"label_names": classes, "fine_label_names": classes, "coarse_label_names": ["things"]}
    for file, content in zip([*batches, meta], [*contents, names], strict=True):
        (root / folder / file).write_bytes(pickle.dumps(content))
    with tarfile.open(root / archive, "w:gz") as tar:
        tar.add(root / folder, folder)
    files = tuple(f"{folder}/{file}" for file in [*batches, meta])
    images = np.concatenate(data).reshape(-1, 3, 32, 32)
    return Small(name, root, files, (archive,), images, np.concatenate(labels), tuple(classes))


def make_svhn(name, root) -> Small:
    files = ("train_32x32.mat", "test_32x32.mat")
    rng = np.random.RandomState(0)
    images = rng.randint(0, 256, (40, 3, 32, 32), np.uint8)
    labels = rng.permutation(40) % 10
    for file, some in zip(files, (slice(0, 20), slice(20, 40)), strict=True):
        of_mat = np.where(labels[some] == 0, 10, labels[some]).astype(np.uint8)
        scipy.io.savemat(root / file, {"X": images[some].transpose(2, 3, 1, 0), "y": of_mat[:, None]})
    return Small(name, root, files, files, images, labels, tuple("0123456789"))


@pytest.fixture(scope="session")
def smalls(tmp_path_factory) -> dict[str, Small]:
    roots = {name: tmp_path_factory.mktemp(name) for name in SOURCES}
    return {
        "cifar10": make_cifar(
            "cifar10", roots["cifar10"], "cifar-10-batches-py", "cifar-10-python.tar.gz",
            BATCHES, "batches.meta", "labels", CIFAR10,
        ),
        "cifar100": make_cifar(
            "cifar100", roots["cifar100"], "cifar-100-python", "cifar-100-python.tar.gz",
            ["train", "test"], "meta", "fine_labels", CIFAR100,
        ),
        "svhn": make_svhn("svhn", roots["svhn"]),
    }  # fmt: skip


@pytest.fixture(params=["cifar10", "cifar100", "svhn"])
def small(request, smalls) -> Small:
    return smalls[request.param]


@pytest.fixture(params=["cifar10", "cifar100"])
def archived(request, smalls) -> Small:
    """One that comes as an archive."""
    return smalls[request.param]


@pytest.fixture(autouse=True)
def empty_machine(smalls, monkeypatch, tmp_path):
    """No AIRBENCH_DATA, an empty cache, no network, and torchvision expects the md5s of the small data sets."""
    for small in smalls.values():
        reader = getattr(torchvision.datasets, SOURCES[small.name].torchvision_class)
        if small.name == "svhn":
            expected = {
                split: [*reader.split_list[split][:2], small.md5(reader.split_list[split][1])]
                for split in ("train", "test")
            }
            monkeypatch.setattr(reader, "split_list", expected)
            continue
        md5s = [[os.path.basename(file), small.md5(file)] for file in small.files]
        monkeypatch.setattr(reader, "train_list", md5s[:-2])
        monkeypatch.setattr(reader, "test_list", md5s[-2:-1])
        monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": md5s[-1][1]})
        monkeypatch.setattr(reader, "tgz_md5", small.md5(small.archive))
    monkeypatch.delenv("AIRBENCH_DATA", raising=False)
    monkeypatch.setattr(downloads, "cache_folder", lambda: tmp_path / "cache")

    def no_network(*args, **kwargs):
        pytest.fail("a download was started")

    monkeypatch.setattr(downloads, "download", no_network)


@pytest.fixture
def fake_download(smalls, monkeypatch):
    """Downloads succeed; the list of what was asked for."""
    asked = []
    known = {name: small.root / name for small in smalls.values() for name in small.downloads}

    def fake(urls, path, md5, *, progress=None):
        asked.append(path)
        assert all(path.name in url for url in urls)
        content = known[path.name].read_bytes()
        assert hashlib.md5(content).hexdigest() == md5
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    monkeypatch.setattr(downloads, "download", fake)
    return asked


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def message_of(name: str, root: Path, **arguments) -> str:
    """The error of load_dataset, which must be one line."""
    with pytest.raises(DataError) as caught:
        load_dataset(name, root, **arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_reading(small):
    data = load_dataset(small.name, small.root)
    assert (data.name, data.classes) == (small.name, small.classes)
    images, labels = torch.from_numpy(small.images), torch.from_numpy(small.labels)
    torch.testing.assert_close(data.train_images, images[:-20], rtol=0, atol=0)
    torch.testing.assert_close(data.test_images, images[-20:], rtol=0, atol=0)
    torch.testing.assert_close(data.train_labels, labels[:-20], rtol=0, atol=0)
    torch.testing.assert_close(data.test_labels, labels[-20:], rtol=0, atol=0)
    assert data.train_images.is_contiguous()
    assert data.test_images.is_contiguous()
    assert data.mirror_changes_class == (small.name == "svhn")


def test_mean_and_std_are_those_of_the_training_images(small):
    data = load_dataset(small.name, small.root)
    pixels = small.images[:-20] / 255
    assert data.mean == tuple(pixels.mean((0, 2, 3)).round(4))
    assert data.std == tuple(pixels.std((0, 2, 3)).round(4))


def test_each_file_is_hashed_once(small, monkeypatch):
    hashed = []
    monkeypatch.setattr(sources, "md5_of", lambda path: hashed.append(path.name) or downloads.md5_of(path))
    for module in (torchvision.datasets.cifar, torchvision.datasets.svhn):
        monkeypatch.setattr(module, "check_integrity", lambda path, md5: hashed.append(os.path.basename(path)) or True)
    load_dataset(small.name, small.root)
    assert sorted(name for name in hashed if "meta" not in name) == sorted(
        os.path.basename(file) for file in small.files if "meta" not in file
    )


def break_file(path: Path, damage: str) -> None:
    good = path.read_bytes()
    path.unlink()
    if damage == "truncated":
        path.write_bytes(good[: len(good) // 2])
    elif damage == "altered":
        path.write_bytes(good[:-2] + bytes([good[-2] ^ 1]) + good[-1:])
    elif damage == "a folder":
        path.mkdir()


@pytest.mark.parametrize("damage", ["missing", "truncated", "altered", "a folder"])
def test_broken_file_is_named_with_the_remedy(small, root, damage):
    for name in small.files:
        shutil.rmtree(root)
        small.copy_to(root, small.files)
        break_file(root / name, damage)
        for which in (small.name, "auto") if small.name == "cifar10" else (small.name,):  # never passed over in silence
            # A file of SVHN that is missing would be downloaded: it is no part of a whole, as CIFAR's are of a folder.
            message = message_of(which, root, download=(small.name, damage) != ("svhn", "missing"))
            assert str(root / name) in message
            assert f"airbench data {small.name}" in message


def test_broken_copy_is_not_passed_over_for_a_good_one(small, root, monkeypatch):
    small.copy_to(root, small.files)
    break_file(root / small.files[0], "truncated")
    monkeypatch.setenv("AIRBENCH_DATA", str(small.root))
    assert str(root / small.files[0]) in message_of(small.name, root)


def test_archive_is_extracted_beside_itself(archived, root):
    archived.copy_to(root, archived.downloads)
    data = load_dataset(archived.name, root)
    assert data.digest == load_dataset(archived.name, archived.root).digest
    names = [path.name for path in root.iterdir() if path.suffix != ".lock"]
    assert sorted(names) == sorted([archived.folder, archived.archive])
    (root / archived.archive).unlink()
    assert load_dataset(archived.name, root).digest == data.digest


def test_killed_extraction_leaves_no_trace(archived, root):
    archived.copy_to(root, archived.downloads)
    part = root / (archived.folder + ".part")
    (part / archived.folder).mkdir(parents=True)
    (part / archived.files[0]).write_bytes(b"half")
    (part / "other").write_bytes(b"left over")
    load_dataset(archived.name, root)
    assert not part.exists()


def test_archive_that_another_process_extracts_is_not_extracted_again(archived, root, monkeypatch):
    class Waited(filelock.FileLock):
        def __enter__(self):
            archived.copy_to(root, archived.files)  # what the other process did while it held the lock
            return super().__enter__()

    archived.copy_to(root, archived.downloads)
    monkeypatch.setattr(filelock, "FileLock", Waited)
    monkeypatch.setattr(tarfile, "open", lambda path: pytest.fail("extracted again"))
    assert load_dataset(archived.name, root).digest == load_dataset(archived.name, archived.root).digest


@pytest.mark.parametrize("damage", ["truncated", "altered", "a folder"])
def test_broken_archive_is_named_and_not_extracted(archived, root, damage):
    archived.copy_to(root, archived.downloads)
    break_file(root / archived.archive, damage)
    for which in (archived.name, "auto") if archived.name == "cifar10" else (archived.name,):
        message = message_of(which, root)
        assert str(root / archived.archive) in message
        assert f"delete it and run `airbench data {archived.name}`" in message
    assert not (root / archived.folder).exists()


@pytest.fixture
def archive(smalls):
    """The bytes of CIFAR-10's archive, read before `plain_user`, who may not see root's temporary folders."""
    return (smalls["cifar10"].root / smalls["cifar10"].archive).read_bytes()


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


def test_archive_in_a_read_only_folder_is_extracted_into_the_cache(smalls, archive, plain_user, monkeypatch):
    cache, small = plain_user / "cache", smalls["cifar10"]
    monkeypatch.setattr(downloads, "cache_folder", lambda: cache)
    root = plain_user / "root"
    root.mkdir()
    (root / small.archive).write_bytes(archive)
    root.chmod(0o555)
    digest = load_dataset("cifar10", root).digest
    assert [path.name for path in root.iterdir()] == [small.archive]
    extracted_at = (cache / small.folder).stat().st_mtime_ns
    assert load_dataset("cifar10", root).digest == digest
    assert (cache / small.folder).stat().st_mtime_ns == extracted_at  # not extracted twice


def test_read_only_airbench_data_is_not_downloaded_into(smalls, archive, plain_user, monkeypatch):
    data = plain_user / "data"
    data.mkdir(mode=0o555)
    monkeypatch.setattr(downloads, "cache_folder", lambda: plain_user / "cache")
    monkeypatch.setenv("AIRBENCH_DATA", str(data))
    asked = []

    def fake(urls, path, md5, *, progress=None):
        asked.append(path)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(archive)
        return path

    monkeypatch.setattr(downloads, "download", fake)
    load_dataset("cifar10")
    assert asked == [plain_user / "cache" / smalls["cifar10"].archive]


def test_search_order(small, root, tmp_path, monkeypatch):
    """Argument, AIRBENCH_DATA, cache: each is hidden by those before it, told apart by which one is broken."""
    environ, cache = tmp_path / "environ", tmp_path / "cache"
    monkeypatch.setenv("AIRBENCH_DATA", str(environ))
    for place in (cache, environ, root):
        small.copy_to(place, small.files)
        break_file(place / small.files[0], "altered")
        assert str(place / small.files[0]) in message_of(small.name, root)


def test_download_goes_into_root_else_airbench_data_else_the_cache(small, fake_download, root, tmp_path, monkeypatch):
    load_dataset(small.name, tmp_path / "new" / "root")
    load_dataset(small.name)
    monkeypatch.setenv("AIRBENCH_DATA", str(tmp_path / "environ"))
    shutil.rmtree(tmp_path / "cache")
    data = load_dataset(small.name)
    load_dataset(small.name, root)  # found in AIRBENCH_DATA: not downloaded again
    places = [tmp_path / "new" / "root", tmp_path / "cache", tmp_path / "environ"]
    assert fake_download == [place / name for place in places for name in small.downloads]
    assert data.digest == load_dataset(small.name, small.root).digest


@pytest.mark.parametrize("there", [0, 1])
def test_interrupted_download_of_two_files_is_completed(smalls, fake_download, root, tmp_path, there):
    """Beside the file that is there, not where a new download would go."""
    small = smalls["svhn"]
    small.copy_to(tmp_path / "cache", [small.files[there]])
    load_dataset("svhn", root)
    assert fake_download == [tmp_path / "cache" / small.files[1 - there]]


def test_downloaded_files_are_not_hashed_again(smalls, fake_download, root, monkeypatch):
    monkeypatch.setattr(sources, "md5_of", lambda path: pytest.fail("downloads.download has hashed it"))
    load_dataset("svhn", root)


def test_no_download_when_told_so(small, root, tmp_path):
    message = message_of(small.name, root, download=False)
    for words in (str(root), str(tmp_path / "cache"), f"airbench data {small.name}", "AIRBENCH_DATA"):
        assert words in message


def test_auto_takes_cifar10_from_disk(smalls, root, capsys):
    small = smalls["cifar10"]
    small.copy_to(root, small.downloads)
    for found in (small.archive, small.folder):  # the second time it is there extracted
        assert load_dataset("auto", root).name == "cifar10"
        assert capsys.readouterr().err == f"data: CIFAR-10 from {root / found}\n"


def test_mirrors_end_with_the_original_host(small):
    source = SOURCES[small.name]
    if small.name == "svhn":
        *mirrors, last = source.mirrors
        assert [last + name for name in small.files] == [url for url, _, _ in source.reader.split_list.values()]
        assert mirrors[-1] == last.replace("http://", "https://")
        assert all(url.endswith("/") for url in mirrors)
    else:
        mirrors = source.mirrors
        assert mirrors[-1] == source.reader.url
        assert all(small.archive in url for url in mirrors)
    assert all(url.startswith("https://") for url in mirrors)
    assert len({url.split("/")[2] for url in mirrors}) == len(mirrors) > 1


def test_the_genuine_cifar10(cifar10):
    assert cifar10.digest == "ad1a54dfad01caa9"
    assert cifar10.train_labels.bincount().tolist() == [5_000] * 10
    assert cifar10.test_labels.bincount().tolist() == [1_000] * 10
    assert cifar10.classes == tuple(CIFAR10)
    assert cifar10.mean == (0.4914, 0.4822, 0.4465)
    assert cifar10.std == (0.2470, 0.2435, 0.2616)
