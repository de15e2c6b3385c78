"""Waiting for what must happen, in tests that measure no time."""

import time

# Only so that a hang ends: nothing takes long on a quiet machine.
PATIENCE_S = 60


def wait_for(condition, what: str):
    """Asks until the answer is true; that answer."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE_S} s in vain: {what}")
        time.sleep(0.01)
    return answer
