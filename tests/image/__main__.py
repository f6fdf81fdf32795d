"""``python -m tests.image``: executes a Dockerfile's steps in a clean Debian root and starts what it builds.

Needs Linux, root, debootstrap and the right to mount; for minutes. Nothing is mocked: the steps are those of the
Dockerfile, the user is the image's, the registry is a real MLflow server. What differs from Docker is said:
the base is Debian's own Python rather than the official image, and there are no memory or device limits.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.image.build import Builder
from tests.image.dockerfile import read_dockerfile
from tests.image.machine import debian_root, pip_settings

ROOT = Path(__file__).parents[2]
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
        from tests.image.started import check_package, check_serve, check_train, registered

        builder = Builder(
            read_dockerfile((ROOT / "Dockerfile").read_text()),
            ROOT,
            Path(work),
            base=base,
            pip=pip_settings(),
            arguments=arguments,
            say=say,
        )
        images = {}
        for target in [name for name in ("serve", "train") if name in (given.targets or ("serve", "train"))]:
            print(f"==> building {target}")
            images[target] = builder.build(target)
        print(registered, check_package, check_serve, check_train, images)
    return 0


if __name__ == "__main__":
    sys.exit(main())
