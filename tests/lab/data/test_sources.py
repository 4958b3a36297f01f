"""Finding, fetching, verifying and reading data sets, on small ones in the formats that torchvision reads."""

import gzip
import hashlib
import os
import pickle
import shutil
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
import torchvision.datasets
from airbench_lab import data
from airbench_lab.data.downloads import MIRRORS, SIZES
from airbench_lab.data.sources import FASHION, SOURCES

from airbench_core.errors import DataError

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR100 = tuple(f"thing {i}" for i in range(100))


load_dataset = partial(data.load_dataset, download=True)


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
    def folder(self) -> str:
        return os.path.dirname(self.files[0])

    def copy_to(self, root: Path, names: Iterable[str]) -> None:
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.root / name, root / name)


def make(name: str, root: Path) -> Small:
    source, rng = SOURCES[name], np.random.RandomState(0)
    *batches, last = source.files
    batches += [last] if name == "svhn" else []
    images = rng.randint(0, 256, (len(batches), 20, 3, 32, 32), np.uint8)
    classes = {"cifar10": CIFAR10, "cifar100": CIFAR100, "svhn": tuple("0123456789")}.get(name, FASHION)
    labels = rng.permutation(len(batches) * 20).reshape(-1, 20) % len(classes)
    (root / source.folder).mkdir(exist_ok=True)
    if name == "fashionmnist":
        images = images[:2, :, :1, :28, :28]  # training and test images; grey
        labels = labels[:2]
        for file, array in zip(source.files, (images[0, :, 0], labels[0], images[1, :, 0], labels[1]), strict=True):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))
        images, files = images.repeat(3, axis=2), tuple(source.files)
        return Small(name, root, files, files, np.concatenate(images), np.concatenate(labels), classes)
    for file, some, each in zip(batches, images, labels, strict=True):
        if name == "svhn":
            of_mat = np.where(each == 0, 10, each).astype(np.uint8)
            scipy.io.savemat(root / file, {"X": some.transpose(2, 3, 1, 0), "y": of_mat[:, None]})
        else:
            key = {"cifar10": "labels", "cifar100": "fine_labels"}[name]
            content = {"data": some.reshape(20, 3072), key: each.tolist(), "coarse_labels": [0] * 20}
            (root / source.folder / file).write_bytes(pickle.dumps(content))
    if name != "svhn":
        key = {"cifar10": "label_names", "cifar100": "fine_label_names"}[name]
        (root / source.folder / last).write_bytes(pickle.dumps({key: list(classes), "coarse_label_names": ["things"]}))
        with tarfile.open(root / next(iter(source.archive)), "w:gz") as tar:
            tar.add(root / source.folder, source.folder)
    files = tuple(os.path.join(source.folder, file) for file in source.files)
    return Small(
        name, root, files, tuple(source.archive) or files, np.concatenate(images), np.concatenate(labels), classes
    )


@pytest.fixture(scope="session")
def smalls(tmp_path_factory) -> dict[str, Small]:
    return {name: make(name, tmp_path_factory.mktemp(name)) for name in SOURCES}


@pytest.fixture(params=["cifar10", "cifar100", "svhn", "fashionmnist"])
def small(request, smalls) -> Small:
    return smalls[request.param]


@pytest.fixture
def archived(smalls) -> Small:
    """One that comes as an archive."""
    return smalls["cifar10"]


@pytest.fixture(autouse=True)
def asked(smalls, monkeypatch, tmp_path) -> list[Path]:
    """No AIRBENCH_DATA, an empty cache, the md5s of the small data sets; downloads succeed and are listed."""
    known = {}
    for small in smalls.values():
        source = SOURCES[small.name]
        for names in (source.archive, source.files):
            for name in names:
                path = small.root / ("" if name in source.archive else source.folder) / name
                monkeypatch.setitem(names, name, hashlib.md5(path.read_bytes()).hexdigest())
        known |= {Path(name).name: small.root / name for name in small.downloads}
    asked = []

    def download(name, path, md5):
        asked.append(path)
        assert SIZES[path.name] > 5_000  # the genuine file's
        assert all(path.name in url.format(path.name) for url in MIRRORS[name])
        assert hashlib.md5(known[path.name].read_bytes()).hexdigest() == md5
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(known[path.name], path)

    monkeypatch.delenv("AIRBENCH_DATA", raising=False)
    monkeypatch.setattr("airbench_lab.data.sources.cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr("airbench_lab.data.downloads.fetch", download)
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
    assert data.train_images.equal(images[:-20])
    assert data.test_images.equal(images[-20:])
    assert data.train_labels.equal(labels[:-20])
    assert data.test_labels.equal(labels[-20:])
    assert data.train_images.is_contiguous()
    assert data.test_images.is_contiguous()
    assert data.mirror_changes_class == (small.name == "svhn")


def test_genuine_md5s_and_addresses_are_torchvisions(small, monkeypatch):
    monkeypatch.undo()  # the md5s of the small ones
    source, reader = SOURCES[small.name], getattr(torchvision.datasets, SOURCES[small.name].title.replace("-", ""))
    if small.name == "fashionmnist":
        assert source.files == {f"FashionMNIST/raw/{name}": md5 for name, md5 in reader.resources}
        urls = [reader.mirrors[0] + name for name, _ in reader.resources]
    elif small.name == "svhn":
        theirs = [reader.split_list[split] for split in ("train", "test")]
        assert source.files == {name: md5 for _, name, md5 in theirs}
        urls = [url for url, _, _ in theirs]
    else:
        meta = (reader.meta["filename"], reader.meta["md5"])
        assert source.files == dict([*reader.train_list, *reader.test_list, meta])
        assert (source.folder, source.archive) == (reader.base_folder, {reader.filename: reader.tgz_md5})
        urls = [reader.url]
    assert [MIRRORS[small.name][-1].format(Path(name).name) for name in source.archive or source.files] == urls
    of_others = MIRRORS[small.name][: -1 if small.name == "svhn" else None]
    assert all(
        url.startswith("https://") and "/{}" in url
        for url in of_others
        if "zalando" in url or small.name != "fashionmnist"
    )
    assert len({url.split("/")[2] for url in of_others}) == len(of_others) > 1


def break_file(path: Path, damage: str) -> None:
    good = path.read_bytes()
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    elif damage != "missing":
        half = {"truncated": b"", "altered": bytes([good[len(good) // 2] ^ 1]) + good[len(good) // 2 + 1 :]}
        path.write_bytes(good[: len(good) // 2] + half[damage])


@pytest.mark.parametrize("damage", ["missing", "truncated", "altered", "a folder"])
def test_broken_file_is_named_with_the_remedy(small, root, damage):
    for name in small.files:
        shutil.rmtree(root)
        small.copy_to(root, small.files)
        break_file(root / name, damage)
        for which in (small.name, "auto") if small.name == "cifar10" else (small.name,):  # never passed over in silence
            # A file of these that is missing would be downloaded: it is no part of a whole, as CIFAR's are of a folder.
            loose = small.name in ("svhn", "fashionmnist")
            message = message_of(which, root, **({"download": False} if loose and damage == "missing" else {}))
            assert str(root / name) in message
            assert f"airbench data {small.name}" in message


def test_archive_is_extracted_beside_itself(archived, root, asked):
    archived.copy_to(root, archived.downloads)
    data = load_dataset(archived.name, root)
    assert data.digest == load_dataset(archived.name, archived.root).digest
    assert sorted(os.listdir(root)) == sorted([archived.folder, *archived.downloads])
    (root / archived.downloads[0]).unlink()
    assert load_dataset(archived.name, root).digest == data.digest
    assert not asked


def test_folder_that_another_process_extracted_meanwhile_is_kept(archived, root, monkeypatch):
    class Slow(tarfile.TarFile):
        def extractall(self, *args, **keywords):
            super().extractall(*args, **keywords)
            archived.copy_to(root, archived.files)

    archived.copy_to(root, archived.downloads)
    monkeypatch.setattr(tarfile, "open", Slow.open)
    assert load_dataset(archived.name, root).digest == load_dataset(archived.name, archived.root).digest
    assert sorted(os.listdir(root)) == sorted([archived.folder, *archived.downloads])


def test_archive_cannot_write_outside_its_folder_even_if_its_md5_were_right(archived, root, monkeypatch):
    archive = root / archived.downloads[0]
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(archived.root / archived.files[0], "../outside")
    monkeypatch.setitem(SOURCES[archived.name].archive, archive.name, hashlib.md5(archive.read_bytes()).hexdigest())
    with pytest.raises(tarfile.OutsideDestinationError):
        load_dataset(archived.name, root)
    assert os.listdir(root) == [archive.name]


@pytest.mark.parametrize("damage", ["truncated", "altered", "a folder"])
def test_broken_archive_is_named_and_not_extracted(archived, root, damage):
    archived.copy_to(root, archived.downloads)
    break_file(root / archived.downloads[0], damage)
    for which in (archived.name, "auto"):
        message = message_of(which, root)
        assert str(root / archived.downloads[0]) in message
        assert f"delete it and run `airbench data {archived.name} --root {root}`" in message
    assert not (root / archived.folder).exists()


def test_place_that_cannot_be_written_is_one_line(archived, root, monkeypatch):
    archived.copy_to(root, archived.downloads)

    def fail(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", fail)
    assert f"cannot write to {root} (Permission denied)" in message_of(archived.name, root)


def test_search_order(small, root, tmp_path, monkeypatch):
    """Argument, AIRBENCH_DATA, cache: each is hidden by those before it, told apart by which one is broken."""
    environ, cache = tmp_path / "environ", tmp_path / "cache"
    monkeypatch.setenv("AIRBENCH_DATA", str(environ))
    for place in (cache, environ, root):
        small.copy_to(place, small.files)
        break_file(place / small.files[0], "altered")
        assert str(place / small.files[0]) in message_of(small.name, root)


@pytest.mark.parametrize("named", ["folder", "archive", "folder inside a folder of the same name"])
def test_the_data_set_s_own_folder_is_taken_by_the_one_around_it(archived, root, monkeypatch, named):
    archived.copy_to(root, archived.downloads if named == "archive" else archived.files)
    place = root / (archived.downloads[0] if named == "archive" else archived.folder)
    if "inside" in named:
        place.rename(root / "all")
        place.mkdir()
        (root / "all").rename(place / archived.folder)
    monkeypatch.setenv("AIRBENCH_DATA", str(place))
    assert load_dataset("auto").digest == load_dataset(archived.name, archived.root).digest
    monkeypatch.chdir(place if place.is_dir() else root)
    monkeypatch.setenv("AIRBENCH_DATA", ".")
    assert load_dataset("auto").name == archived.name


def test_download_goes_into_root_else_airbench_data_else_the_cache(small, asked, root, tmp_path, monkeypatch):
    load_dataset(small.name, tmp_path / "new" / "root")
    load_dataset(small.name)
    monkeypatch.setenv("AIRBENCH_DATA", str(tmp_path / "environ"))
    shutil.rmtree(tmp_path / "cache")
    data = load_dataset(small.name)
    load_dataset(small.name, root)  # found in AIRBENCH_DATA: not downloaded again
    places = [tmp_path / "new" / "root", tmp_path / "cache", tmp_path / "environ"]
    assert asked == [place / name for place in places for name in small.downloads]
    assert data.digest == load_dataset(small.name, small.root).digest


@pytest.mark.parametrize("there", [0, 1])
def test_interrupted_download_of_two_files_is_completed(smalls, asked, root, tmp_path, there):
    """Beside the file that is there, not where a new download would go."""
    small = smalls["svhn"]
    small.copy_to(tmp_path / "cache", [small.files[there]])
    load_dataset("svhn", root)
    assert asked == [tmp_path / "cache" / small.files[1 - there]]


def test_no_download_when_told_so(small, root, tmp_path):
    message = message_of(small.name, root, download=False)
    for words in (str(root), str(tmp_path / "cache"), f"`airbench data {small.name} --root {root}`", "AIRBENCH_DATA"):
        assert words in message
    assert f"`airbench data {small.name}`" in message_of(small.name, None, download=False)


def test_a_remedy_can_be_pasted_whatever_the_folder_is_called(small, tmp_path):
    root = tmp_path / "my data; rm"
    small.copy_to(root, small.files[1:])
    message = message_of(small.name, root, download=False)
    assert f"`airbench data {small.name} --root '{root}'`" in message


def test_what_is_verified_is_what_is_read(small, root, monkeypatch):
    """Each file is exchanged as soon as it was read once."""
    small.copy_to(root, small.files)
    digest, read = load_dataset(small.name, small.root).digest, Path.read_bytes

    def read_and_exchanged(path):
        content = read(path)
        path.write_bytes(b"cos\nabort\n(tR.")  # a pickle that would end this process
        return content

    monkeypatch.setattr(Path, "read_bytes", read_and_exchanged)
    assert load_dataset(small.name, root).digest == digest


def test_auto_takes_cifar10_from_disk(smalls, root, capsys):
    small = smalls["cifar10"]
    small.copy_to(root, small.downloads)
    for found in (small.downloads[0], small.folder):  # the second time it is there extracted
        assert load_dataset("auto", root).name == "cifar10"
        assert capsys.readouterr().err == f"data: CIFAR-10 from {root / found}\n"


def test_the_genuine_cifar10(cifar10):
    assert cifar10.digest == "ad1a54dfad01caa9"
    assert cifar10.train_labels.bincount().tolist() == [5_000] * 10
    assert cifar10.test_labels.bincount().tolist() == [1_000] * 10
    assert cifar10.classes == CIFAR10
    assert cifar10.mean == (0.4914, 0.4822, 0.4465)
    assert cifar10.std == (0.2470, 0.2435, 0.2616)
