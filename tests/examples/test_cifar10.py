"""The CIFAR-10 example, on a small archive in the true format that a real HTTP server gives."""

from __future__ import annotations

import hashlib
import io
import os
import selectors
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import numpy as np
import pytest
import torch

from lifecycle.core.errors import LifecycleError
from lifecycle.core.reference import Reference
from tests.examples.downloads import Site, served
from tests.examples.folders import imported

EXAMPLE = Path(__file__).parents[2] / "examples" / "cifar10"
sys.path.insert(0, str(EXAMPLE))
try:
    from archive import Archive, fetch
    from cifar10 import CIFAR10, TORONTO, CIFAR10Data, augment, random_crop, random_flip, read_records
    from download import progress_text
finally:
    sys.path.remove(str(EXAMPLE))
    for module in ("archive", "cifar10", "download", "stand_in"):
        sys.modules.pop(module, None)

FOLDER = "cifar-10-batches-bin"
NAMES = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n"
IMAGES = 40  # in each file
FILES = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]


def records(seed: int) -> bytes:
    """Noise whose brightness tells the label: something to learn."""
    generator = np.random.default_rng(seed)
    labels = (np.arange(IMAGES) % 10).astype(np.uint8)
    noise = generator.integers(0, 30, (IMAGES, 3072))
    pixels = (noise + 25 * labels[:, None]).astype(np.uint8)
    return np.concatenate([labels[:, None], pixels], axis=1).tobytes()


def packed(*extra: tarfile.TarInfo, leave_out: str = "") -> bytes:
    """The archive as published, but smaller."""
    contents = {name: records(seed) for seed, name in enumerate(FILES)}
    contents |= {"batches.meta.txt": NAMES.encode(), "readme.html": b"<html>"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in contents.items():
            if name != leave_out:
                member = tarfile.TarInfo(f"{FOLDER}/{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        for member in extra:
            tar.addfile(member)
    return buffer.getvalue()


def archive_of(site: Site, content: bytes | None = None) -> Archive:
    sizes: dict[str, int | None] = {**dict.fromkeys(FILES, IMAGES * 3073), "batches.meta.txt": None}
    md5 = hashlib.md5(site.content if content is None else content).hexdigest()
    return Archive(url=site.url, md5=md5, folder=FOLDER, sizes=sizes)


@pytest.fixture(scope="module")
def content() -> bytes:
    return packed()


@pytest.fixture
def site(content: bytes) -> Iterator[Site]:
    with served(content) as site:
        yield site


def whole(folder: Path) -> bool:
    """Whether everything was fetched, byte for byte, and nothing else lies there."""
    expected = {name: records(seed) for seed, name in enumerate(FILES)} | {"batches.meta.txt": NAMES.encode()}
    beside = {path.name for path in folder.iterdir()} - {FOLDER, "pictures.tar.gz", ".pictures.tar.gz.lock"}
    return not beside and {p.name: p.read_bytes() for p in (folder / FOLDER).iterdir()} == expected


def test_the_published_archive_is_what_is_expected() -> None:
    assert TORONTO.url == "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    assert TORONTO.md5 == "c32a1d4ab5d03f1284b67883e8d87530"
    assert TORONTO.sizes == {**dict.fromkeys(FILES, 30_730_000), "batches.meta.txt": None}


def test_it_is_downloaded_once(site: Site, tmp_path: Path) -> None:
    for _ in range(2):
        assert fetch(archive_of(site), tmp_path) == tmp_path / FOLDER
    assert whole(tmp_path)
    assert site.asked == [(None, None)]


def test_a_damaged_file_is_unpacked_again_without_the_network(site: Site, tmp_path: Path) -> None:
    archive = archive_of(site)
    fetch(archive, tmp_path)
    (tmp_path / FOLDER / "test_batch.bin").write_bytes(b"short")
    (tmp_path / FOLDER / "data_batch_2.bin").unlink()
    fetch(archive, tmp_path)
    assert whole(tmp_path)
    assert len(site.asked) == 1


def test_a_broken_connection_goes_on_where_it_ended(
    site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    site.fates = [1000, 500]
    fetch(archive_of(site), tmp_path, pause_s=0)
    assert whole(tmp_path)
    assert site.asked == [(None, None), ("bytes=1000-", '"one"'), ("bytes=1500-", '"one"')]
    total = f"{len(site.content):,}"
    assert f"the connection ended after 1,000 of {total} bytes; trying again" in capfd.readouterr().err


def test_a_server_without_ranges_is_asked_for_everything(site: Site, tmp_path: Path) -> None:
    site.ranges, site.fates = False, [1000]
    fetch(archive_of(site), tmp_path, pause_s=0)
    assert whole(tmp_path)
    assert len(site.asked) == 2


def test_a_file_that_changed_meanwhile_is_downloaded_from_its_start(site: Site, tmp_path: Path) -> None:
    site.content, site.etag, site.fates = b"an older version" * 100, '"zero"', [1000]
    new = packed()
    site.fates.append(HTTPStatus.NOT_FOUND)
    with pytest.raises(LifecycleError):
        fetch(archive_of(site, new), tmp_path, pause_s=0)
    site.content, site.etag = new, '"one"'
    fetch(archive_of(site), tmp_path)
    assert whole(tmp_path)
    assert site.asked[-1] == ("bytes=1000-", '"zero"')


def test_another_process_goes_on_with_what_was_left(site: Site, tmp_path: Path) -> None:
    site.fates = [1000, HTTPStatus.NOT_FOUND]
    with pytest.raises(LifecycleError, match="404") as refused:
        fetch(archive_of(site), tmp_path, pause_s=0)
    assert str(tmp_path / "pictures.tar.gz") in refused.value.hint
    assert (tmp_path / "pictures.tar.gz.part").read_bytes() == site.content[:1000]
    fetch(archive_of(site), tmp_path)
    assert site.asked[-1] == ("bytes=1000-", '"one"')
    assert whole(tmp_path)


def test_a_download_that_was_complete_is_not_repeated(site: Site, tmp_path: Path) -> None:
    (tmp_path / "pictures.tar.gz.part").write_bytes(site.content)
    fetch(archive_of(site), tmp_path)
    assert whole(tmp_path)
    assert site.asked == [(f"bytes={len(site.content)}-", None)]


@pytest.mark.parametrize("count", [1000, 10_000_000])
def test_a_part_of_something_else_is_given_up(site: Site, tmp_path: Path, count: int) -> None:
    (tmp_path / "pictures.tar.gz.part").write_bytes(b"x" * count)
    fetch(archive_of(site), tmp_path, pause_s=0)
    assert whole(tmp_path)
    assert site.asked[-1] == (None, None)


def test_a_busy_server_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.fates = [HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS]
    fetch(archive_of(site), tmp_path, pause_s=0)
    assert whole(tmp_path)


def test_it_gives_up_when_nothing_new_comes(site: Site, tmp_path: Path) -> None:
    site.ranges, site.fates = False, [1000] * 100
    with pytest.raises(LifecycleError, match="the connection ended after 1,000 of") as failed:
        fetch(archive_of(site), tmp_path, pause_s=0)
    assert f"goes on from the 1,000 bytes in {tmp_path / 'pictures.tar.gz.part'}" in failed.value.hint
    assert len(site.asked) == 6


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with served(b"") as gone:
        archive = archive_of(gone)
    with pytest.raises(LifecycleError, match=r"http://127.0.0.1:.* cannot be downloaded: .*refused"):
        fetch(archive, tmp_path, pause_s=0)


def test_a_corrupt_download_names_file_and_sums_and_what_to_do(site: Site, tmp_path: Path) -> None:
    archive = archive_of(site)
    site.content = bytes([site.content[0] ^ 1]) + site.content[1:]
    got = hashlib.md5(site.content).hexdigest()
    with pytest.raises(LifecycleError) as failed:
        fetch(archive, tmp_path)
    part = tmp_path / "pictures.tar.gz.part"
    assert failed.value.message == f"{part} is damaged: its MD5 is {got}, expected {archive.md5}"
    assert "run this again" in failed.value.hint and archive.url in failed.value.hint
    assert not part.exists() and not (tmp_path / FOLDER).exists()


def test_an_archive_put_there_by_hand_is_verified_too(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "pictures.tar.gz"
    path.write_bytes(site.content[:-1])
    with pytest.raises(LifecycleError, match=f"{path} is damaged"):
        fetch(archive_of(site), tmp_path)
    path.write_bytes(site.content)
    fetch(archive_of(site), tmp_path)
    assert whole(tmp_path) and site.asked == []


def link(name: str, to: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, to
    return member


def test_links_and_paths_that_lead_out_are_not_unpacked(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    content = packed(
        tarfile.TarInfo("../escaped"),
        tarfile.TarInfo(f"{tmp_path}/absolute"),
        link(f"{FOLDER}/link", str(outside), tarfile.SYMTYPE),
        link(f"{FOLDER}/hard", "../outside", tarfile.LNKTYPE),
    )
    with served(content) as site:
        fetch(archive_of(site), tmp_path / "data")
    assert whole(tmp_path / "data")
    assert {path.name for path in tmp_path.iterdir()} == {"outside", "data"}


def test_a_link_in_place_of_a_file_is_missing(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(records(0))
    stolen = link(f"{FOLDER}/test_batch.bin", str(tmp_path / "secret"), tarfile.SYMTYPE)
    with (
        served(packed(stolen, leave_out="test_batch.bin")) as site,
        pytest.raises(LifecycleError, match=r"does not hold what is expected: test_batch.bin is missing"),
    ):
        fetch(archive_of(site), tmp_path / "data")
    assert {path.name for path in (tmp_path / "data").iterdir()} <= {
        "pictures.tar.gz",
        ".pictures.tar.gz.lock",
    }


def test_files_of_another_size_are_refused(site: Site, tmp_path: Path) -> None:
    archive = archive_of(site)
    other = Archive(url=site.url, md5=archive.md5, folder=FOLDER, sizes={"test_batch.bin": 30_730_000})
    with pytest.raises(LifecycleError, match=r"test_batch.bin has 122,920 bytes instead of 30,730,000"):
        fetch(other, tmp_path)
    assert not (tmp_path / FOLDER).exists()


FETCH = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from archive import Archive, fetch
sizes = {"test_batch.bin": int(sys.argv[5])}
fetch(Archive(url=sys.argv[3], md5=sys.argv[4], folder="cifar-10-batches-bin", sizes=sizes), Path(sys.argv[2]))
"""


def test_two_processes_at_once_download_once(site: Site, tmp_path: Path) -> None:
    site.gate.clear()  # the first to ask gets its answer when the second one waits
    arguments = [str(EXAMPLE), str(tmp_path), site.url, archive_of(site).md5, str(IMAGES * 3073)]
    both = [
        subprocess.Popen([sys.executable, "-c", FETCH, *arguments], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    streams = [process.stderr for process in both]
    assert streams[0] is not None and streams[1] is not None
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream, selectors.EVENT_READ)
        [(key, _)] = selector.select(60)
        waiting = key.fileobj.readline()  # type: ignore[union-attr]
    site.gate.set()
    errors = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    assert "another process is fetching this" in waiting
    assert len(site.asked) == 1


def test_progress_says_how_far_how_fast_and_how_long_still() -> None:
    text = progress_text("a.tar.gz", 42_000_000, 170_000_000, 2e6)
    assert text == "a.tar.gz: 42.0 of 170.0 MB, 2.0 MB/s, 1:04 left"
    assert progress_text("a.tar.gz", 170_000_000, 170_000_000, 8e6) == "a.tar.gz: 170.0 of 170.0 MB, 8.0 MB/s"
    assert progress_text("a.tar.gz", 42_000_000, None, 8e6) == "a.tar.gz: 42.0 MB, 8.0 MB/s"


def test_the_pictures_and_labels_are_those_of_the_files(site: Site, tmp_path: Path) -> None:
    train = CIFAR10(tmp_path, train=True, archive=archive_of(site))
    test = CIFAR10(tmp_path, train=False, archive=archive_of(site))
    assert (len(train), len(test)) == (5 * IMAGES, IMAGES)
    assert train.classes == test.classes == tuple(NAMES.split())
    raw = records(2)  # the third file: pictures 80 to 119
    image, label = train[2 * IMAGES + 7]
    assert (image.dtype, image.shape, label) == (torch.uint8, (3, 32, 32), 7)
    record = raw[7 * 3073 : 8 * 3073]
    for channel, row, column in ((0, 0, 0), (0, 1, 0), (1, 0, 5), (2, 31, 31)):
        assert int(image[channel, row, column]) == record[1 + 1024 * channel + 32 * row + column]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x00" * 3072, "3,072 bytes, which is no multiple of 3,073"),
        (b"", "has 0 bytes"),
        (b"\x0a" + b"\x00" * 3072, "holds the label 10"),
    ],
)
def test_a_file_that_is_none_of_cifar_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "test_batch.bin").write_bytes(content)
    with pytest.raises(LifecycleError, match=message):
        read_records(tmp_path / "test_batch.bin")


def test_a_crop_is_a_part_of_the_picture_in_a_black_margin() -> None:
    image = torch.arange(3 * 32 * 32).remainder(255).add(1).to(torch.uint8).view(3, 32, 32)
    framed = torch.zeros(3, 40, 40, dtype=torch.uint8)
    framed[:, 4:36, 4:36] = image
    torch.manual_seed(0)
    found = set()
    for _ in range(300):
        crop = random_crop(image)
        assert crop.shape == image.shape
        found |= {
            (top, left)
            for top in range(9)
            for left in range(9)
            if torch.equal(crop, framed[:, top : top + 32, left : left + 32])
        }
    assert {top for top, _ in found} == {left for _, left in found} == set(range(9))


def test_a_picture_is_mirrored_every_other_time() -> None:
    image = torch.arange(3 * 32 * 32).remainder(256).to(torch.uint8).view(3, 32, 32)
    torch.manual_seed(0)
    flips = [random_flip(image) for _ in range(200)]
    mirrored = sum(torch.equal(flip, image.flip(2)) for flip in flips)
    assert mirrored + sum(torch.equal(flip, image) for flip in flips) == 200
    assert 70 < mirrored < 130


def test_what_is_drawn_follows_the_seed(site: Site, tmp_path: Path) -> None:
    train = CIFAR10(tmp_path, train=True, transform=augment, archive=archive_of(site))
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        drawn.append(torch.stack([train[index][0] for index in range(8)]))
    assert torch.equal(*drawn)
    assert not torch.equal(drawn[0], train.images[:8])


def test_the_data_module_keeps_the_last_pictures_to_validate(site: Site, tmp_path: Path) -> None:
    class Small(CIFAR10Data):
        archive = archive_of(site)

    data = Small(batch_size=16, val_images=30, folder=str(tmp_path))
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    everything = CIFAR10(tmp_path, train=True, archive=data.archive)
    assert len(data.train) == 170
    images = torch.cat([images for images, _ in data.val_dataloader()])
    assert torch.equal(images, everything.images[170:])
    batch, labels = next(iter(data.train_dataloader()))
    assert (batch.dtype, batch.shape, labels.dtype) == (torch.uint8, (16, 3, 32, 32), torch.int64)
    assert sum(len(labels) for _, labels in data.test_dataloader()) == IMAGES
    assert data.archive.md5 in data.fingerprint()


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from archive import Archive
from cifar10 import NAMES_FILE, TEST_FILES, TRAIN_FILES
from train import main
folder, url, md5, size = sys.argv[2:]
sizes = {**dict.fromkeys((*TRAIN_FILES, *TEST_FILES), int(size)), NAMES_FILE: None}
archive = Archive(url=url, md5=md5, folder="cifar-10-batches-bin", sizes=sizes)
trainer = main(["--epochs", "12", "--data", folder], archive)
for name, value in sorted(trainer.callback_metrics.items()):
    print(name, float(value))
print("steps", trainer.global_step)
"""


def test_the_script_trains_logs_accuracy_and_leaves_a_checkpoint(site: Site, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    where = (site.url, archive_of(site).md5, str(IMAGES * 3073))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, EXAMPLE, tmp_path / "data", *where],
        cwd=work,
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / "unused")},
    )
    assert done.returncode == 0, done.stderr
    printed = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert int(printed["steps"]) == 12 * 4  # 200 pictures, 64 in a batch
    assert 0 < float(printed["train_acc"]) <= 1
    assert float(printed["val_acc"]) >= 0.2, "no better than guessing"
    assert printed["accuracy on 40 other pictures:"] == f"{float(printed['val_acc']):.4f}"
    checkpoint = Path(work, printed["checkpoint:"])
    assert checkpoint.is_relative_to(work)
    net = Reference("train.py:Net").load(EXAMPLE).load_from_checkpoint(checkpoint)  # type: ignore[attr-defined]
    images, labels = read_records(tmp_path / "data" / FOLDER / "test_batch.bin")
    with torch.inference_mode():
        accuracy = float((net.eval()(images).argmax(dim=1) == labels).float().mean())
    assert accuracy == pytest.approx(float(printed["val_acc"]))
    assert not (tmp_path / "unused").exists()


def test_the_script_says_what_it_takes() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLE / "train.py", "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "--epochs" in done.stdout and "--data DIR" in done.stdout


def test_the_stand_in_has_the_form_of_the_data_and_is_always_the_same() -> None:
    with imported(EXAMPLE, "stand_in") as (stand_in,):
        data, again = stand_in.StandIn(batch_size=32), stand_in.draw(500, seed=2)
        data.setup("fit")
    batch, labels = next(iter(data.train_dataloader()))
    assert (batch.dtype, batch.shape, labels.dtype) == (torch.uint8, (32, 3, 32, 32), torch.int64)
    assert torch.equal(data.test.images, again.images)
    assert torch.bincount(again.labels).tolist() == [50] * 10
