"""boto 2, unmodified, on CPython 2.7: both of its layers, the way its documentation uses them.

Prints one line for each check and ends at the first failure. Runs against a server where retrievals
are ready at once and inventories are current. The release is the one PYTHONPATH names.
"""
from __future__ import print_function

import hashlib
import os
import socket
from datetime import datetime, timedelta

import boto
from boto.glacier.concurrent import ConcurrentDownloader, ConcurrentUploader
from boto.glacier.layer2 import Layer2

from here import (ACCOUNT, ENDPOINT, FOLDER, MIB, REGION, check, connection, equal, file_of, finished,
                  refused, tree)

REAL_NAME = "glacier.%s.amazonaws.com" % REGION


def vaults(layer1, layer2):
    made = layer1.create_vault("first")
    equal("create_vault tells the location", made["Location"], "/%s/vaults/first" % ACCOUNT)
    check("and a request ID", made["RequestId"], made)
    vault = layer2.create_vault("vault")
    equal("a new vault has its six members",
          (vault.name, vault.arn, vault.size, vault.number_of_archives, vault.last_inventory_date),
          ("vault", "arn:aws:glacier:%s:%s:vaults/vault" % (REGION, ACCOUNT), 0, 0, None))
    for number in range(12):
        layer2.create_vault("many-%02d" % number)
    equal("list_vaults follows markers", sorted(found.name for found in layer2.list_vaults()),
          sorted(["first", "vault"] + ["many-%02d" % number for number in range(12)]))
    page = layer1.list_vaults(limit=3)
    equal("a page of three", [found["VaultName"] for found in page["VaultList"]], ["first", "many-00", "many-01"])
    page = layer1.list_vaults(limit=3, marker=page["Marker"])
    equal("and the next", [found["VaultName"] for found in page["VaultList"]], ["many-02", "many-03", "many-04"])
    for number in range(12):
        layer2.delete_vault("many-%02d" % number)
    layer1.delete_vault("first")
    refused("a vault that was deleted", 404, "ResourceNotFoundException", layer2.get_vault, "first")
    return vault


def notifications(layer1):
    wanted = {"SNSTopic": "arn:aws:sns:%s:%s:ready" % (REGION, ACCOUNT), "Events": ["ArchiveRetrievalCompleted"]}
    layer1.set_vault_notifications("vault", wanted)
    found = layer1.get_vault_notifications("vault")
    equal("notifications", (found["SNSTopic"], found["Events"]), (wanted["SNSTopic"], wanted["Events"]))
    layer1.delete_vault_notifications("vault")
    refused("notifications that were deleted", 404, "ResourceNotFoundException",
            layer1.get_vault_notifications, "vault")


def single(layer1, vault):
    path, data = file_of(2 * MIB + 3, "single")
    archive = vault.upload_archive(path, description='my  double "space" archive')
    equal("upload_archive returns an ID", len(archive), 138)
    made = layer1.upload_archive("vault", "small", hashlib.sha256("small").hexdigest(), tree("small"))
    equal("layer 1 gets the tree hash back", made["TreeHash"], tree("small"))
    equal("and the location", made["Location"], "/%s/vaults/vault/archives/%s" % (ACCOUNT, made["ArchiveId"]))
    vault.delete_archive(made["ArchiveId"])
    check("delete_archive", True)
    refused("a wrong tree hash", 400, "InvalidParameterValueException",
            layer1.upload_archive, "vault", "small", hashlib.sha256("small").hexdigest(), "0" * 64)
    refused("a body that is not the one announced", 403, "InvalidSignatureException",
            layer1.upload_archive, "vault", "small", hashlib.sha256("other").hexdigest(), tree("small"))
    return {archive: ('my  double "space" archive', data)}


def multipart(layer1, vault):
    made = {}
    path, data = file_of(3 * MIB + 77, "writer")
    writer = vault.create_archive_writer(part_size=MIB, description="written")
    for at in range(0, len(data), 700000):
        writer.write(data[at:at + 700000])
    writer.close()
    made[writer.get_archive_id()] = ("written", data)
    check("create_archive_writer", True)

    path, data = file_of(9 * MIB + 1, "serial")
    begun = []
    archive = vault.create_archive_from_file(path, description="from a file", upload_id_callback=begun.append)
    made[archive] = ("from a file", data)
    equal("create_archive_from_file tells the upload's ID", len(begun), 1)

    path, data = file_of(13 * MIB + 5, "concurrent")
    archive = vault.concurrent_create_archive_from_file(path, "by threads", part_size=4 * MIB, num_threads=4)
    made[archive] = ("by threads", data)
    check("concurrent_create_archive_from_file", True)
    uploader = ConcurrentUploader(layer1, "vault", part_size=8 * MIB, num_threads=2)
    made[uploader.upload(path, "by an uploader")] = ("by an uploader", data)
    check("ConcurrentUploader", True)
    made.update(resumed(layer1, vault))
    return made


def resumed(layer1, vault):
    # boto 2.49 encodes what it resumes as text, so it can only resume text.
    path, data = file_of(5 * MIB + 9, "resumed", text=True)
    upload = layer1.initiate_multipart_upload("vault", MIB, "resumed")["UploadId"]
    equal("an upload's ID", len(upload), 92)
    for part in (3, 1):
        body = data[part * MIB:(part + 1) * MIB]
        layer1.upload_part("vault", upload, hashlib.sha256(body).hexdigest(), tree(body),
                           (part * MIB, (part + 1) * MIB - 1), body).read()
    found = layer1.list_multipart_uploads("vault")
    equal("list_multipart_uploads", [(item["MultipartUploadId"], item["PartSizeInBytes"],
          item["ArchiveDescription"]) for item in found["UploadsList"]], [(upload, MIB, "resumed")])
    first = layer1.list_parts("vault", upload, limit=1)
    equal("a page of list_parts", [part["RangeInBytes"] for part in first["Parts"]],
          ["%d-%d" % (MIB, 2 * MIB - 1)])
    check("and where it goes on", first["Marker"], first)
    parts = vault.list_all_parts(upload)
    equal("list_all_parts", [part["SHA256TreeHash"] for part in parts["Parts"]],
          [tree(data[part * MIB:(part + 1) * MIB]) for part in (1, 3)])
    archive = vault.resume_archive_from_file(upload, filename=path)
    aborted = layer1.initiate_multipart_upload("vault", MIB, None)["UploadId"]
    layer1.abort_multipart_upload("vault", aborted)
    refused("parts of an aborted upload", 404, "ResourceNotFoundException", layer1.list_parts, "vault", aborted)
    refused("a part size that is no power of two", 400, "InvalidParameterValueException",
            layer1.initiate_multipart_upload, "vault", 3 * MIB, None)
    return {archive: ("resumed", data)}


def retrieve(vault, archives):
    for archive, (description, data) in archives.items():
        job = vault.retrieve_archive(archive, description="get " + description,
                                     sns_topic="arn:aws:sns:%s:%s:ready" % (REGION, ACCOUNT))
        job = finished(vault, job.id)
        equal("the job for " + description,
              (job.action, job.archive_id, job.archive_size, job.completed, job.status_code, job.description),
              ("ArchiveRetrieval", archive, len(data), True, "Succeeded", "get " + description))
        equal("its tree hash", job.sha256_treehash, tree(data))
        path = os.path.join(FOLDER, "out")
        job.download_to_file(path)
        check("download_to_file in chunks of 4 MiB", open(path, "rb").read() == data)
        job.download_to_file(path, chunk_size=MIB)
        check("download_to_file in chunks of 1 MiB", open(path, "rb").read() == data)
        if len(data) > 8 * MIB:
            ConcurrentDownloader(job, part_size=4 * MIB, num_threads=3).download(path)
            check("ConcurrentDownloader", open(path, "rb").read() == data)
        output = job.get_output(validate_checksum=True)
        equal("get_output has the tree hash", output["TreeHash"], tree(data))
        part = job.get_output(byte_range=(1, 3))
        equal("get_output of a range",
              (part.read(), part["ContentRange"], part.status),
              (data[1:4], "bytes 1-3/%d" % len(data), 206))
    check("list_jobs", len(vault.list_jobs()) == len(archives), vault.list_jobs())
    equal("list_jobs of those in progress", vault.list_jobs(completed=False), [])
    equal("list_jobs of those that succeeded", len(vault.list_jobs(status_code="Succeeded")), len(archives))
    refused("an archive that is not there", 404, "ResourceNotFoundException", vault.retrieve_archive, "A" * 138)
    refused("a job that is not there", 404, "ResourceNotFoundException", vault.get_job, "J" * 92)


def inventory(vault, archives):
    job = vault.retrieve_inventory_job(description="everything")
    job = finished(vault, job.id)
    equal("an inventory job", (job.action, job.completed, job.description, job.archive_id),
          ("InventoryRetrieval", True, "everything", None))
    output = job.get_output()
    equal("the inventory has what was uploaded",
          dict((item["ArchiveId"], (item["ArchiveDescription"], item["Size"], item["SHA256TreeHash"]))
               for item in output["ArchiveList"]),
          dict((archive, (description, len(data), tree(data))) for archive, (description, data) in archives.items()))
    check("its size is told", job.inventory_size > 0, job.inventory_size)
    # boto writes dates that know of no zone without one, and the limit as a number.
    now = datetime.utcnow()
    job_id = vault.retrieve_inventory(start_date=now - timedelta(days=1), end_date=now + timedelta(days=1), limit=2)
    equal("two of it, between dates", len(finished(vault, job_id).get_output()["ArchiveList"]), 2)
    job_id = vault.retrieve_inventory(start_date=datetime(2012, 1, 1), end_date=datetime(2012, 2, 1))
    equal("none of it, between others", finished(vault, job_id).get_output()["ArchiveList"], [])


def by_its_real_name(archives):
    """The service's own host name, redirected as /etc/hosts would: boto takes the scope from it."""
    ask, connect = socket.getaddrinfo, socket.socket.connect

    def here(host):
        return ENDPOINT.hostname if host == REAL_NAME else host

    socket.getaddrinfo = lambda host, *rest: ask(here(host), *rest)
    socket.socket.connect = lambda self, address: connect(self, (here(address[0]),) + address[1:])
    vault = Layer2(layer1=connection(REAL_NAME)).get_vault("vault")
    equal("under the name " + REAL_NAME, vault.number_of_archives, len(archives))
    path, _ = file_of(1000, "real")
    vault.delete_archive(vault.upload_archive(path))
    check("an upload under it", True)
    socket.getaddrinfo, socket.socket.connect = ask, connect


def main():
    check("boto " + boto.__version__, boto.__version__ == os.environ["BOTO_RELEASE"], boto.__file__)
    layer1 = connection(ENDPOINT.hostname)
    layer2 = Layer2(layer1=layer1)
    vault = vaults(layer1, layer2)
    notifications(layer1)
    archives = single(layer1, vault)
    archives.update(multipart(layer1, vault))
    retrieve(vault, archives)
    inventory(vault, archives)
    by_its_real_name(archives)
    refused("a vault that is not empty", 400, "InvalidParameterValueException", vault.delete)
    for archive in archives:
        vault.delete_archive(archive)
    vault.delete()
    refused("a vault that was deleted", 404, "ResourceNotFoundException", layer2.get_vault, "vault")


main()
