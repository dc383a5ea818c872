"""What every script of this folder needs: one line for each check, and an end at the first failure."""

import hashlib
import os
import sys
import time

MIB = 1024 * 1024
ENDPOINT = os.environ["ICEFIELD_ENDPOINT"]
ACCOUNT = os.environ["ICEFIELD_ACCOUNT"]
REGION = os.environ["AWS_DEFAULT_REGION"]

JOB_WAIT_SECONDS = 60


def check(what, holds, detail=""):
    """Prints that `what` holds, or ends the script because it does not."""
    if not holds:
        print("FAILED %s: %s" % (what, detail), flush=True)
        sys.exit(1)
    print("ok %s" % what, flush=True)


def equal(what, found, expected):
    """Checks that `found` is `expected`, and shows both when it is not."""
    check(what, found == expected, "%r instead of %r" % (found, expected))


def vault_arn(vault):
    return "arn:aws:glacier:%s:%s:vaults/%s" % (REGION, ACCOUNT, vault)


def tree_hash(data):
    """Returns the tree hash of `data` by its definition, level by level."""
    level = [hashlib.sha256(data[at : at + MIB]).digest() for at in range(0, max(len(data), 1), MIB)]
    while len(level) > 1:
        pairs = [level[at : at + 2] for at in range(0, len(level), 2)]
        level = [hashlib.sha256(b"".join(pair)).digest() if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0].hex()


def bytes_of(size, seed):
    """Returns `size` bytes that do not repeat and are the same for the same `seed`."""
    return hashlib.shake_128(seed.encode()).digest(size)


def wait_until(what, done):
    """Asks again until `done` returns something true, and returns that."""
    end = time.monotonic() + JOB_WAIT_SECONDS
    while time.monotonic() < end:
        found = done()
        if found:
            return found
        time.sleep(0.05)
    check(what, False, "not within %d s" % JOB_WAIT_SECONDS)
