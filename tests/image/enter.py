"""Becomes a command in a root of its own, as process 1 of a process space of its own. Run by `inside`.

Started as ``unshare --mount --uts --pid --fork --kill-child python enter.py SPECIFICATION``; needs nothing but Python.
"""

import ctypes
import json
import os
import socket
import subprocess
import sys


def enter(
    root: str, environment: dict[str, str], folder: str, user: int, group: int, command: list[str]
) -> None:
    """Never returns."""
    socket.sethostname("container")  # which the root's /etc/hosts knows
    subprocess.run(["mount", "-t", "proc", "proc", f"{root}/proc"], check=True)
    os.chroot(root)
    os.chdir(folder)
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS: nothing in there becomes root again
    os.environ.clear()
    os.environ.update(environment)
    os.execvpe(command[0], command, environment)


if __name__ == "__main__":
    enter(**json.loads(sys.argv[1]))
