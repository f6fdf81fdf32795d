from __future__ import annotations

import asyncio
import time

import pytest

from lifecycle.serve.errors import OverloadedError
from lifecycle.serve.pressure import Pressure


def test_who_comes_late_in_a_long_turn_is_refused_and_the_next_turn_is_a_new_one() -> None:
    async def turns() -> None:
        pressure = Pressure()
        pressure.check(60)
        pressure.check(60)
        time.sleep(0.02)
        with pytest.raises(
            OverloadedError, match=r"requests wait .* ms to be read, and this one may wait 10 ms"
        ):
            pressure.check(0.01)
        pressure.check(60)
        await asyncio.sleep(0)
        pressure.check(0.01)

    asyncio.run(turns())
