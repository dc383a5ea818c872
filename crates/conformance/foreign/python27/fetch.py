"""Fetches the packages that packages.sha256 lists, each into the folder given, and checks its hash.

A mirror that does not have a package, or has another one, is passed over: Debian moves old
releases to its archive. Fails when no mirror has what is listed.
"""

import hashlib
import os
import sys
import urllib.request

MIRRORS = [
    "http://deb.debian.org/debian",
    "http://archive.debian.org/debian",
    "http://snapshot.debian.org/archive/debian/20250520T000000Z",
]
SECONDS = 60


def fetch(path, digest):
    """Returns the bytes of `path` from the first mirror that has them with this hash."""
    failures = []
    for mirror in MIRRORS:
        url = mirror + "/" + path
        try:
            with urllib.request.urlopen(url, timeout=SECONDS) as answer:
                body = answer.read()
        except OSError as error:
            failures.append("%s: %s" % (url, error))
            continue
        if hashlib.sha256(body).hexdigest() == digest:
            return body
        failures.append("%s: not the package that is listed" % url)
    sys.exit("; ".join(failures))


def main(listing, folder):
    with open(listing) as lines:
        for line in lines:
            if line.startswith("#"):
                continue
            digest, path = line.split()
            with open(os.path.join(folder, os.path.basename(path)), "wb") as package:
                package.write(fetch(path, digest))


main(*sys.argv[1:])
