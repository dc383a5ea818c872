"""boto 2, unmodified: ends what boto3_begin.py began, on a server that was killed in between."""
from __future__ import print_function

import json
import os

from boto.glacier.concurrent import ConcurrentDownloader
from boto.glacier.layer2 import Layer2

from here import ENDPOINT, FOLDER, check, connection, equal, finished, tree

NOTES = os.environ["ICEFIELD_NOTES"]


def content(name):
    with open(os.path.join(NOTES, name), "rb") as source:
        return source.read()


def downloaded(job):
    path = os.path.join(FOLDER, "out")
    ConcurrentDownloader(job, num_threads=2).download(path)
    with open(path, "rb") as found:
        return found.read()


def main():
    notes = json.loads(content("notes.json"))
    vault = Layer2(layer1=connection(ENDPOINT.hostname)).get_vault("shared")
    check("the archive is there", downloaded(vault.get_job(notes["job"])) == content("archive"))
    slow = vault.get_job(notes["slow"])
    equal("a job in progress still is", (slow.completed, slow.status_code), (False, "InProgress"))
    equal("every job is listed", [job.id for job in vault.list_jobs()], [notes["job"], notes["slow"]])
    parts = vault.list_all_parts(notes["upload"])["Parts"]
    equal("the parts that were sent are there", [part["SHA256TreeHash"] for part in parts], notes["parts"])
    archive = vault.resume_archive_from_file(notes["upload"], filename=os.path.join(NOTES, "upload"))
    job = finished(vault, vault.retrieve_archive(archive).id)
    equal("the resumed archive's tree hash", job.sha256_treehash, tree(content("upload")))
    check("and its content", downloaded(job) == content("upload"))
    job = finished(vault, vault.retrieve_inventory())
    equal("the inventory has both", sorted(item["ArchiveId"] for item in job.get_output()["ArchiveList"]),
          sorted([notes["archive"], archive]))


main()
