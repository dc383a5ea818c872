"""What the scripts of this folder need: where the server is, checks, and files to send."""
from __future__ import print_function

import os
import random
import sys
import tempfile
import time
import urlparse

import boto
from boto.glacier.exceptions import UnexpectedHTTPResponseError
from boto.glacier.layer1 import Layer1
from boto.glacier.utils import chunk_hashes, tree_hash
from boto.regioninfo import RegionInfo

MIB = 1024 * 1024
ENDPOINT = urlparse.urlparse(os.environ["ICEFIELD_ENDPOINT"])
ACCOUNT = os.environ["ICEFIELD_ACCOUNT"]
REGION = os.environ["AWS_DEFAULT_REGION"]
FOLDER = tempfile.mkdtemp()

if "AWS_CA_BUNDLE" in os.environ:
    # boto 2 takes this from its configuration file.
    boto.config.add_section("Boto")
    boto.config.set("Boto", "ca_certificates_file", os.environ["AWS_CA_BUNDLE"])


def check(what, holds, detail=""):
    if not holds:
        print("FAILED %s: %s" % (what, detail))
        sys.exit(1)
    print("ok %s" % what)
    sys.stdout.flush()


def equal(what, found, expected):
    check(what, found == expected, "%r instead of %r" % (found, expected))


def connection(host):
    """A layer 1 that believes the service is at `host`."""
    return Layer1(region=RegionInfo(None, "here", host), port=ENDPOINT.port,
                  is_secure=ENDPOINT.scheme == "https")


def file_of(size, seed, text=False):
    """Writes a file of bytes that do not repeat, or of ASCII text, and returns its path and content."""
    source = random.Random(seed)
    data = "".join(chr(source.randrange(32, 127) if text else source.getrandbits(8)) for _ in range(64 * 1024))
    data = "".join("%07d" % at + data for at in range(size // len(data) + 1))[:size]
    path = os.path.join(FOLDER, str(seed))
    with open(path, "wb") as out:
        out.write(data)
    return path, data


def finished(vault, job_id):
    """Waits until a job is completed, and returns it."""
    for _ in range(600):
        job = vault.get_job(job_id)
        if job.completed:
            return job
        time.sleep(0.1)
    check("a job is ready", False, "not within a minute")


def tree(data):
    return "".join("%02x" % ord(byte) for byte in tree_hash(chunk_hashes(data)))


def refused(what, status, code, call, *arguments):
    """Checks that the service refuses, and that boto finds the code in what it says."""
    try:
        call(*arguments)
    except UnexpectedHTTPResponseError as error:
        equal(what, (error.status, error.code), (status, code))
        return
    check(what, False, "it was not refused")
