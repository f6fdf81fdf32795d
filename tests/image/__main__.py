"""``python -m tests.image``: executes a Dockerfile's steps in a clean Debian root and starts what it builds.

Needs Linux, root, debootstrap and the right to mount; for minutes. Nothing is mocked: the steps are those of the
Dockerfile, the user is the image's, the registry is a real MLflow server. What differs from Docker is said:
the base is Debian's own Python rather than the official image, and there are no memory or device limits.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.image.build import Builder
from tests.image.checks import champion, check_package, check_serve, check_train
from tests.image.dockerfile import read_dockerfile
from tests.image.machine import debian_root, pip_settings

ROOT = Path(__file__).parents[2]
CHECKS = {"serve": check_serve, "package": check_package, "train": check_train}
SPACE = "LIFECYCLE_IMAGE_CHECK_SPACE"  # set where this process has mounts and processes of its own


def say(text: str) -> None:
    """A line for whoever waits."""
    print(f"  {text}", flush=True)


def missing() -> list[str]:
    """What this machine lacks."""
    wanted = [] if os.geteuid() == 0 else ["root"]
    return wanted + [name for name in ("debootstrap", "unshare", "mount") if shutil.which(name) is None]


def options() -> argparse.Namespace:
    """From the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.image", description=__doc__)
    parser.add_argument("targets", nargs="*", help="of serve, train and package; all by default")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--keep", action="store_true", help="keep layers, and take those that are there")
    parser.add_argument("--cache", type=Path, default=Path("/var/tmp/lifecycle-image"), metavar="DIR")
    parser.add_argument("--mirror", default="http://deb.debian.org/debian")
    return parser.parse_args()


def main() -> int:
    """Check the images; 0 if all is as it should be."""
    given = options()
    if lacking := missing():
        print(f"Not executed: this needs {', '.join(lacking)}.")
        return 1
    if os.environ.get(SPACE) != "1":
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        again = [sys.executable, "-m", "tests.image", *sys.argv[1:]]
        return subprocess.run([*words, *again], env={**os.environ, SPACE: "1"}, check=False).returncode
    print(f"==> a Debian root below {given.cache}")
    base = debian_root(given.cache, given.mirror)
    arguments = dict(each.split("=", 1) for each in given.build_arg)
    for name, value in arguments.items():
        say(f"build argument {name}={value}, not the Dockerfile's own")
    with tempfile.TemporaryDirectory(prefix="build-", dir=given.cache) as work:
        keep = given.cache / "kept" if given.keep else None
        check(Path(work), base, arguments, given.targets or list(CHECKS), keep)
    return 0


def check(work: Path, base: Path, arguments: dict[str, str], targets: list[str], keep: Path | None) -> None:
    """Build the images, then start each where nothing but a loopback of its own is reached."""
    outside = work / "outside"
    print("==> a champion, trained, registered, promoted and packaged outside")
    packed = champion(outside)
    own, written = (
        Builder(
            read_dockerfile(file.read_text()),
            file.parent,
            (work if keep is None else keep) / name,
            base=base,
            pip=pip_settings(),
            arguments=arguments,
            say=say,
        )
        for name, file in (("own", ROOT / "Dockerfile"), ("packed", packed / "Containerfile"))
    )
    images = {}
    for target in targets:
        print(f"==> building {target}")
        images[target] = written.build("1") if target == "package" else own.build(target)
        say(f"{size_mb([*images[target].layers[1:]]):.0f} MB above the Debian root")
    leave_network()
    for target, image in images.items():
        print(f"==> starting {target}")
        CHECKS[target](image, outside, work / "started" / target, say)


def size_mb(layers: list[Path]) -> float:
    """What layers hold."""
    done = subprocess.run(["du", "-sm", "-c", *layers], check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1].split()[0])


def leave_network() -> None:
    """From here on this process and what it starts have a loopback of their own, so any port is free."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "no network of its own")
    with socket.socket() as probe:  # SIOCSIFFLAGS: up and running
        fcntl.ioctl(probe, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))


if __name__ == "__main__":
    sys.exit(main())
