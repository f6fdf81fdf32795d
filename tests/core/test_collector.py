from __future__ import annotations

import gc
import subprocess
import sys

from lifecycle.core.collector import resting


def test_the_collector_rests_meanwhile_and_works_again_whatever_happens() -> None:
    seen = []
    try:
        with resting():
            seen.append(gc.isenabled())
            with resting():
                pass
            seen.append(gc.isenabled())
            raise ImportError
    except ImportError:
        seen.append(gc.isenabled())
    assert seen == [False, False, True]


def test_who_switched_it_off_finds_it_off() -> None:
    gc.disable()
    try:
        with resting():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_only_in_a_process_of_our_own_is_anything_put_out_of_its_sight() -> None:
    code = (
        "import gc\n"
        "from lifecycle.core.collector import own_process, resting\n"
        "before = gc.get_freeze_count()\n"
        "with resting(): import json\n"
        "assert gc.get_freeze_count() == before, 'a notebook may hold garbage'\n"
        "own_process()\n"
        "with resting(): import decimal\n"
        "assert gc.get_freeze_count() > before\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
