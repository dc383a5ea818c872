"""Eight clients for a server that is killed under them, and what it owes them afterwards.

The first argument says which: `prepare` locks a vault; `upload` works until standard input ends, through every death of
the server; `verify` holds the server to all that was acknowledged. What was acknowledged stands in the folder
ICEFIELD_NOTES, a file for each client, written only after the answer has come:

    A ID TREE-HASH SIZE    an archive: 201 of an upload, or of a completion
    D ID                   a deletion: 204
"""

import json
import os
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from checks import ENDPOINT, MIB, bytes_of, check, equal, tree_hash, vault_arn

CLIENTS = 8
# A server that is started again must be back within this time.
AWAY_SECONDS = 60
PAUSE_SECONDS = 0.02
NOTES = os.environ["ICEFIELD_NOTES"]
VAULT, LOCKED = "endurance", "locked"
LOCK = json.dumps({
    "Version": "2012-10-17",
    "Statement": [{
        "Sid": "worm",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "glacier:DeleteArchive",
        "Resource": vault_arn(LOCKED),
        "Condition": {"NumericLessThan": {"glacier:ArchiveAgeInDays": "365"}},
    }],
})


def client():
    """Returns a client that tries nothing twice by itself, so that each answer is seen."""
    # A dead server refuses at once; an answer that never comes is a failure, not to be waited for.
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=60)
    return boto3.client("glacier", endpoint_url=ENDPOINT, config=config)


def through_deaths(call, **parameters):
    """Calls until there is an answer; one that refuses is raised."""
    end = time.monotonic() + AWAY_SECONDS
    while True:
        try:
            return call(**parameters)
        except ClientError:
            raise
        except (BotoCoreError, HTTPClientError):
            if time.monotonic() > end:
                raise
            time.sleep(PAUSE_SECONDS)


class Worker:
    def __init__(self, number, stop):
        self.number = number
        self.stop = stop
        self.random = random.Random("%s %d" % (os.environ["ICEFIELD_SEED"], number))
        self.glacier = client()
        self.notes = open(os.path.join(NOTES, "client-%d" % number), "a")
        self.mine = []
        self.locked = open(os.path.join(NOTES, "locked")).read()
        self.bodies = 0

    def note(self, *words):
        self.notes.write(" ".join(str(word) for word in words) + "\n")
        self.notes.flush()

    def body(self, size):
        self.bodies += 1
        return bytes_of(size, "%d %d" % (self.number, self.bodies))

    def run(self):
        try:
            while not self.stop.is_set():
                self.step()
        finally:
            self.stop.set()

    def step(self):
        choice = self.random.random()
        if choice < 0.14 and self.mine:
            self.delete()
        elif choice < 0.18:
            refuses_to_delete(self.glacier, self.locked)
        elif choice < 0.36:
            self.upload_in_parts()
        elif choice < 0.44:
            self.upload(self.random.randrange(MIB, 6 * MIB + 1))
        elif choice < 0.65:
            self.upload(self.random.randrange(1000, MIB))
        else:
            self.upload(self.random.randrange(5, 1000))

    def acknowledged(self, archive, body):
        self.note("A", archive["archiveId"], tree_hash(body), len(body))
        self.mine.append(archive["archiveId"])

    def upload(self, size):
        body = self.body(size)
        # After a death nobody knows whether the archive is there: the repeat is one more.
        archive = through_deaths(
            self.glacier.upload_archive, vaultName=VAULT, body=body, archiveDescription="whole")
        equal_or_die(archive["checksum"], tree_hash(body))
        self.acknowledged(archive, body)

    def upload_in_parts(self):
        body = self.body(self.random.randrange(1, 4 * MIB))
        upload = through_deaths(
            self.glacier.initiate_multipart_upload, vaultName=VAULT, partSize=str(MIB),
            archiveDescription="in parts")["uploadId"]
        # A part with an answer is not sent again: it has to outlive every death.
        for first in range(0, len(body), MIB):
            part = body[first : first + MIB]
            through_deaths(
                self.glacier.upload_multipart_part, vaultName=VAULT, uploadId=upload, body=part,
                range="bytes %d-%d/*" % (first, first + len(part) - 1))
        # The repeat of a completion gets the first answer.
        archive = through_deaths(
            self.glacier.complete_multipart_upload, vaultName=VAULT, uploadId=upload,
            archiveSize=str(len(body)), checksum=tree_hash(body))
        self.acknowledged(archive, body)

    def delete(self):
        archive = self.mine.pop(self.random.randrange(len(self.mine)))
        through_deaths(self.glacier.delete_archive, vaultName=VAULT, archiveId=archive)
        self.note("D", archive)


def equal_or_die(found, expected):
    if found != expected:
        raise AssertionError("%r instead of %r" % (found, expected))


def refuses_to_delete(glacier, archive):
    """Fails unless the lock keeps the archive from its own root."""
    try:
        through_deaths(glacier.delete_archive, vaultName=LOCKED, archiveId=archive)
    except ClientError as error:
        equal_or_die(error.response["Error"]["Code"], "AccessDeniedException")
        return
    raise AssertionError("an archive of a locked vault was deleted")


def side_by_side(work, items):
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(work, items))


def prepare():
    glacier = client()
    for vault in (VAULT, LOCKED):
        glacier.create_vault(vaultName=vault)
    archive = glacier.upload_archive(vaultName=LOCKED, body=b"kept for a year")["archiveId"]
    with open(os.path.join(NOTES, "locked"), "w") as notes:
        notes.write(archive)
    lock = glacier.initiate_vault_lock(vaultName=LOCKED, policy={"Policy": LOCK})["lockId"]
    glacier.complete_vault_lock(vaultName=LOCKED, lockId=lock)
    refuses_to_delete(glacier, archive)
    check("a vault is locked", True)


def upload():
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    workers = [Worker(number, stop) for number in range(CLIENTS)]
    side_by_side(Worker.run, workers)
    check("every client got its answers", True)


def read_notes():
    archives, deleted = {}, set()
    for number in range(CLIENTS):
        with open(os.path.join(NOTES, "client-%d" % number)) as notes:
            for line in notes:
                kind, archive, *rest = line.split()
                if kind == "A":
                    archives[archive] = (rest[0], int(rest[1]))
                else:
                    deleted.add(archive)
    check("archives were acknowledged, and deletions", archives and deleted)
    return archives, deleted


def finished(glacier, vault, **parameters):
    job = glacier.initiate_job(vaultName=vault, jobParameters=parameters)["jobId"]
    while True:
        description = glacier.describe_job(vaultName=vault, jobId=job)
        if description["Completed"]:
            equal_or_die(description["StatusCode"], "Succeeded")
            return glacier.get_job_output(vaultName=vault, jobId=job)["body"].read()
        time.sleep(PAUSE_SECONDS)


def verify():
    archives, deleted = read_notes()
    glacier = client()
    listed = {}
    for archive in json.loads(finished(glacier, VAULT, Type="inventory-retrieval"))["ArchiveList"]:
        listed[archive["ArchiveId"]] = (archive["SHA256TreeHash"], archive["Size"])
    owed = {archive: facts for archive, facts in archives.items() if archive not in deleted}
    equal("acknowledged archives that are gone", [one for one in owed if one not in listed], [])
    equal("archives that are others", [one for one in owed if listed[one] != owed[one]], [])
    equal("deleted archives that are back", [one for one in deleted if one in listed], [])

    def retrieve(archive):
        body = finished(glacier, VAULT, Type="archive-retrieval", ArchiveId=archive)
        equal_or_die((tree_hash(body), len(body)), listed[archive])

    side_by_side(retrieve, listed)
    check("every archive comes back as it was", True)

    def stays_deleted(archive):
        try:
            glacier.initiate_job(
                vaultName=VAULT, jobParameters={"Type": "archive-retrieval", "ArchiveId": archive})
        except ClientError as error:
            equal_or_die(error.response["Error"]["Code"], "ResourceNotFoundException")
            return
        raise AssertionError("a deleted archive can be retrieved")

    side_by_side(stays_deleted, deleted)
    check("every deleted archive stays deleted", True)
    verify_lock(glacier)
    print("figures: %d archives acknowledged, %d deleted, %d in the vault, %d bytes" % (
        len(archives), len(deleted), len(listed), sum(size for _, size in listed.values())))


def verify_lock(glacier):
    locked = open(os.path.join(NOTES, "locked")).read()
    lock = glacier.get_vault_lock(vaultName=LOCKED)
    equal("the lock is in force", lock["State"], "Locked")
    equal("it is the same", json.loads(lock["Policy"]), json.loads(LOCK))
    refuses_to_delete(glacier, locked)
    check("its archive cannot be deleted", True)
    for what, call in [
        ("ended", lambda: glacier.abort_vault_lock(vaultName=LOCKED)),
        ("replaced", lambda: glacier.initiate_vault_lock(vaultName=LOCKED, policy={"Policy": LOCK})),
        ("deleted with its vault", lambda: glacier.delete_vault(vaultName=LOCKED)),
    ]:
        try:
            call()
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            check("the lock cannot be %s" % what, 400 <= status < 500, error)
            continue
        check("the lock cannot be %s" % what, False)
    body = finished(glacier, LOCKED, Type="archive-retrieval", ArchiveId=locked)
    equal("the locked archive comes back as it was", body, b"kept for a year")


{"prepare": prepare, "upload": upload, "verify": verify}[sys.argv[1]]()
