"""The command `glacier` that came with boto 2, unmodified and in processes of its own.

It knows the service by its real name only. boto's configuration file sends it to the server as one
sends it through a proxy, so its requests name the whole URL.
"""
from __future__ import print_function

import os
import subprocess
import sys

import boto

from here import ACCOUNT, ENDPOINT, FOLDER, MIB, REGION, check, connection, equal, file_of, tree

COMMAND = os.path.join(os.path.dirname(os.path.dirname(boto.__file__)), "bin", "glacier")
CONFIGURATION = """[Boto]
is_secure = False
proxy = %s
proxy_port = %d
""" % (ENDPOINT.hostname, ENDPOINT.port)


def glacier(*arguments):
    """Runs the command and returns what it prints."""
    environment = dict(os.environ, BOTO_CONFIG=os.path.join(FOLDER, "boto.cfg"))
    environment.pop("NO_PROXY", None)
    environment.pop("no_proxy", None)
    command = [sys.executable, COMMAND] + list(arguments)
    return subprocess.check_output(command, cwd=FOLDER, env=environment)


def main():
    with open(os.path.join(FOLDER, "boto.cfg"), "w") as out:
        out.write(CONFIGURATION)
    _, data = file_of(2 * MIB + 1, "a.jpg")
    _, other = file_of(5, "b.jpg")

    said = glacier("upload", "--region", REGION, "pics", "a.jpg", "b.jpg", "missing.jpg")
    equal("it uploads the files that are there", said.count("Uploading"), 2)
    arns = glacier("vaults").split()
    equal("it lists the vault that it made", arns, ["arn:aws:glacier:%s:%s:vaults/pics" % (REGION, ACCOUNT)])
    check("it lists no jobs", "u'JobList': []" in glacier("jobs", "pics"))

    layer1 = connection(ENDPOINT.hostname)
    job = layer1.initiate_job("pics", {"Type": "inventory-retrieval"})["JobId"]
    check("it lists a job", job in glacier("jobs", "pics"))
    listed = layer1.get_job_output("pics", job)["ArchiveList"]
    equal("the vault has their content", sorted(item["SHA256TreeHash"] for item in listed),
          sorted([tree(data), tree(other)]))
    # The older release describes nothing.
    names = ["", ""] if boto.__version__ == "2.29.1" else ["a.jpg", "b.jpg"]
    equal("and their names", sorted(item["ArchiveDescription"] for item in listed), names)


main()
