"""boto3: archives, multipart uploads, jobs and inventories.

Runs against a server where Standard and Expedited retrievals are ready at once, Bulk ones are not
ready while this runs, and an inventory is current.
"""

import csv
import io
import json
import re
from concurrent.futures import ThreadPoolExecutor

from boto3_client import WATCHED, client, refused
from checks import ACCOUNT, MIB, bytes_of, check, equal, tree_hash, vault_arn, wait_until

INVALID = "InvalidParameterValueException"
MISSING = "ResourceNotFoundException"
VAULT = "archives"
OF = {"vaultName": VAULT}

glacier = client()


def ready(job):
    """Waits until a job is completed and returns its description."""
    def completed():
        found = glacier.describe_job(**OF, jobId=job)
        return found if found["Completed"] else None

    return wait_until("a job is ready", completed)


def start(**parameters):
    return glacier.initiate_job(**OF, jobParameters=parameters)["jobId"]


def single_uploads():
    data = bytes_of(3 * MIB + 17, "single")
    made = glacier.upload_archive(**OF, archiveDescription='two  spaces "q" inside', body=data)
    equal("the server computes the same tree hash", made["checksum"], tree_hash(data))
    check("an archive ID has 138 characters", re.fullmatch(r"[A-Za-z0-9_-]{138}", made["archiveId"]), made)
    equal("an archive's location", made["location"],
          "/%s/vaults/%s/archives/%s" % (ACCOUNT, VAULT, made["archiveId"]))
    from_file = glacier.upload_archive(**OF, body=io.BytesIO(data))
    check("the same bytes again are another archive", from_file["archiveId"] != made["archiveId"])
    refused("an empty archive", INVALID, 400, "Invalid Content-Length: 0",
            glacier.upload_archive, **OF, body=b"")
    wrong = "0" * 64
    refused("a wrong tree hash", INVALID, 400,
            "Checksum mismatch: expected %s, computed %s" % (wrong, tree_hash(b"x")),
            glacier.upload_archive, **OF, body=b"x", checksum=wrong)
    refused("a tree hash that is none", INVALID, 400, None,
            glacier.upload_archive, **OF, body=b"x", checksum="abc")
    refused("a description of 1,025 characters", INVALID, 400, None,
            glacier.upload_archive, **OF, body=b"x", archiveDescription="d" * 1025)
    refused("an upload into a vault that is not there", MISSING, 404,
            "Vault not found for ARN: " + vault_arn("no-such-vault"),
            glacier.upload_archive, vaultName="no-such-vault", body=b"x")
    return made["archiveId"], data, from_file["archiveId"]


def deletes(archive):
    glacier.create_vault(vaultName="other")
    refused("deleting the archive of another vault", INVALID, 400,
            "Invalid vault name: " + vault_arn("other"),
            glacier.delete_archive, vaultName="other", archiveId=archive)
    glacier.delete_archive(**OF, archiveId=archive)
    glacier.delete_archive(**OF, archiveId=archive)
    check("an archive may be deleted twice", True)
    refused("deleting what never was", MISSING, 404, None,
            glacier.delete_archive, **OF, archiveId="A" * 138)
    refused("retrieving what was deleted", MISSING, 404, "The archive ID was not found: " + archive,
            start, Type="archive-retrieval", ArchiveId=archive)


def multipart():
    data = bytes_of(6 * MIB + 500_000, "multipart")
    for size in ["1000", str(3 * MIB), str(2**33)]:
        refused("parts of %s bytes" % size, INVALID, 400,
                "Invalid part size: %s. Part size must not be null, must be a power of two and be "
                "between 1048576 and 4294967296 bytes." % size,
                glacier.initiate_multipart_upload, **OF, partSize=size)
    begun = glacier.initiate_multipart_upload(**OF, partSize=str(MIB), archiveDescription="in parts")
    upload = dict(OF, uploadId=begun["uploadId"])
    equal("an upload's location", begun["location"],
          "/%s/vaults/%s/multipart-uploads/%s" % (ACCOUNT, VAULT, begun["uploadId"]))
    equal("an upload without parts", glacier.list_parts(**upload)["Parts"], [])

    def send(at, body=None):
        body = data[at:at + MIB] if body is None else body
        return glacier.upload_multipart_part(
            **upload, range="bytes %d-%d/*" % (at, at + len(body) - 1), body=body)["checksum"]

    starts = list(range(0, len(data), MIB))
    send(2 * MIB, b"something else")
    refused("a gap", INVALID, 400, None, glacier.complete_multipart_upload, **upload,
            archiveSize=str(len(data)), checksum=tree_hash(data))
    with ThreadPoolExecutor(4) as pool:
        sent = list(pool.map(send, reversed(starts)))
    equal("parts sent by threads, backwards, have their tree hashes",
          sent, [tree_hash(data[at:at + MIB]) for at in reversed(starts)])
    pages = list(glacier.get_paginator("list_parts").paginate(**upload, PaginationConfig={"PageSize": 3}))
    equal("parts are listed in the order of their ranges, three to a page",
          [[part["RangeInBytes"] for part in page["Parts"]] for page in pages],
          [["%d-%d" % (at, min(at + MIB, len(data)) - 1) for at in starts[group:group + 3]]
           for group in (0, 3, 6)])
    equal("a part sent again replaced the first", pages[0]["Parts"][2]["SHA256TreeHash"],
          tree_hash(data[2 * MIB:3 * MIB]))
    equal("an upload tells its description", pages[0]["ArchiveDescription"], "in parts")
    others = [glacier.initiate_multipart_upload(**OF, partSize=str(4 * MIB))["uploadId"] for _ in range(4)]
    listed = [item["MultipartUploadId"] for page in glacier.get_paginator("list_multipart_uploads").paginate(
        **OF, PaginationConfig={"PageSize": 2}) for item in page["UploadsList"]]
    equal("uploads in progress are listed once each", sorted(listed), sorted(others + [begun["uploadId"]]))

    refusals_of_parts(glacier, upload)
    good = dict(upload, archiveSize=str(len(data)), checksum=tree_hash(data))
    wrong = "0" * 64
    refused("a wrong tree hash at the end", INVALID, 400, "Invalid x-amz-sha256-tree-hash: " + wrong,
            glacier.complete_multipart_upload, **dict(good, checksum=wrong))
    refused("a wrong size at the end", INVALID, 400, None,
            glacier.complete_multipart_upload, **dict(good, archiveSize=str(len(data) + 1)))
    made = glacier.complete_multipart_upload(**good)
    equal("the archive's tree hash is combined from its parts", made["checksum"], tree_hash(data))
    equal("completing again gives the same archive",
          glacier.complete_multipart_upload(**good)["archiveId"], made["archiveId"])
    refused("aborting what is complete", MISSING, 404, None, glacier.abort_multipart_upload, **upload)
    for other in others:
        glacier.abort_multipart_upload(**OF, uploadId=other)
        glacier.abort_multipart_upload(**OF, uploadId=other)
    check("an upload may be aborted twice", True)
    refused("a part of an aborted upload", MISSING, 404, None, glacier.upload_multipart_part,
            **OF, uploadId=others[0], range="bytes 0-0/*", body=b"x")
    equal("no upload is left", glacier.list_multipart_uploads(**OF)["UploadsList"], [])
    return made["archiveId"], data


def refusals_of_parts(glacier, upload):
    for what, text, body in [("a part that does not begin at a multiple of its size", "bytes 5-8/*", b"abcd"),
                             ("a range of another length than the body", "bytes 0-8/*", b"abcd"),
                             ("a range that ends before it begins", "bytes 9-8/*", b"abcd"),
                             ("a range that is none", "0 to 3", b"abcd")]:
        refused(what, INVALID, 400, None, glacier.upload_multipart_part, **upload, range=text, body=body)
    refused("a wrong tree hash of a part", INVALID, 400,
            "Checksum mismatch: expected %s, computed %s" % ("1" * 64, tree_hash(b"abcd")),
            glacier.upload_multipart_part, **upload, range="bytes 0-3/*", body=b"abcd", checksum="1" * 64)


# Ranges of an archive of 6.5 MiB, in MiB and whether their tree hash is one of the archive's.
RANGES = [(0, 1, True), (1, 2, True), (0, 2, True), (2, 4, True), (0, 4, True), (4, 6, True),
          (4, 7, True), (6, 7, True), (1, 3, False), (3, 5, False), (0, 3, False), (2, 6, False),
          (5, 7, False), (2, 7, False)]


def retrieval(archive, data):
    topic = "arn:aws:sns:us-east-1:%s:ready" % ACCOUNT
    begun = glacier.initiate_job(**OF, jobParameters={
        "Type": "archive-retrieval", "ArchiveId": archive, "Description": "M33/blue 1.fit", "SNSTopic": topic})
    job = begun["jobId"]
    equal("a job's location", begun["location"], "/%s/vaults/%s/jobs/%s" % (ACCOUNT, VAULT, job))
    found = ready(job)
    expected = {
        "Action": "ArchiveRetrieval", "ArchiveId": archive, "ArchiveSHA256TreeHash": tree_hash(data),
        "SHA256TreeHash": tree_hash(data), "ArchiveSizeInBytes": len(data), "Completed": True,
        "JobDescription": "M33/blue 1.fit", "RetrievalByteRange": "0-%d" % (len(data) - 1),
        "SNSTopic": topic, "StatusCode": "Succeeded", "StatusMessage": "Succeeded", "Tier": "Standard",
        "VaultARN": vault_arn(VAULT), "JobId": job}
    equal("a finished job tells all about itself", {name: found.get(name) for name in expected}, expected)
    output = glacier.get_job_output(**OF, jobId=job)
    equal("the output is what was uploaded", output["body"].read(), data)
    equal("with its tree hash", output["checksum"], tree_hash(data))
    equal("and its kind", (output["status"], output["contentType"], output["acceptRanges"]),
          (200, "application/octet-stream", "bytes"))
    equal("and its description", output["archiveDescription"], "in parts")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda bounds: ranged(job, data, *bounds), RANGES))
    ends(job, data)
    ranged_job(archive, data)


def get(job, text):
    output = glacier.get_job_output(**OF, jobId=job, range=text)
    return output, output["body"].read()


def ranged(job, data, first, end, aligned):
    last = min(end * MIB, len(data)) - 1
    output, body = get(job, "bytes=%d-%d" % (first * MIB, last))
    expected = data[first * MIB:last + 1]
    what = "MiB %d to %d of 6.5" % (first, end)
    equal(what, (output["status"], output["contentRange"], body == expected),
          (206, "bytes %d-%d/%d" % (first * MIB, last, len(data)), True))
    equal(what + (", with the hash" if aligned else ", without a hash"),
          output.get("checksum"), tree_hash(expected) if aligned else None)


def ends(job, data):
    size = len(data)
    output, body = get(job, "bytes=%d-%d" % (4 * MIB, 8 * MIB - 1))
    equal("a range that ends beyond the output is cut", (output["contentRange"], output["checksum"]),
          ("bytes %d-%d/%d" % (4 * MIB, size - 1, size), tree_hash(data[4 * MIB:])))
    output, body = get(job, "bytes=0-%d" % (size - 1))
    equal("a range of everything is still a range", (output["status"], output["checksum"]), (206, tree_hash(data)))
    output, body = get(job, "bytes=5-9")
    equal("any bytes at all", (body, output.get("checksum")), (data[5:10], None))
    equal("from somewhere to the end", get(job, "bytes=%d-" % (size - 3))[1], data[-3:])
    equal("the last bytes", get(job, "bytes=-7")[1], data[-7:])
    for text in ["bytes=%d-%d" % (size, size + 5), "bytes=9-5", "bytes=0-1,5-6"]:
        refused("the range " + text, INVALID, 400, None, glacier.get_job_output, **OF, jobId=job, range=text)


def ranged_job(archive, data):
    for bounds, aligned in [((4, 7), True), ((1, 3), False)]:
        first, last = bounds[0] * MIB, min(bounds[1] * MIB, len(data)) - 1
        job = start(Type="archive-retrieval", ArchiveId=archive, RetrievalByteRange="%d-%d" % (first, last))
        found, part = ready(job), data[first:last + 1]
        what = "a job for MiB %d to %d" % bounds
        equal(what, (found["RetrievalByteRange"], found.get("SHA256TreeHash"), found["ArchiveSizeInBytes"]),
              ("%d-%d" % (first, last), tree_hash(part) if aligned else None, len(data)))
        output = glacier.get_job_output(**OF, jobId=job)
        equal(what + " has these bytes", (output["body"].read() == part, output.get("checksum")),
              (True, tree_hash(part) if aligned else None))
        equal(what + " counts from its own start", get(job, "bytes=0-9")[1], part[:10])
    for text in ["0-5", "1-%d" % MIB, "0-%d" % (8 * MIB - 1), "%d-0" % MIB, "x"]:
        refused("a job for the bytes " + text, INVALID, 400, None, start,
                Type="archive-retrieval", ArchiveId=archive, RetrievalByteRange=text)


def jobs(archive, data):
    glacier.create_vault(vaultName="jobs")
    of = {"vaultName": "jobs"}
    own = glacier.upload_archive(**of, body=b"for jobs")["archiveId"]
    wanted = {"Type": "archive-retrieval", "ArchiveId": own}
    refused("the archive of another vault", INVALID, 400, "Invalid vault name: " + vault_arn("jobs"),
            glacier.initiate_job, **of, jobParameters=dict(wanted, ArchiveId=archive))
    for what, wrong in [("an unknown type", {"Type": "restore"}),
                        ("an unknown tier", dict(wanted, Tier="Fast")),
                        ("an inventory of an archive", {"Type": "inventory-retrieval", "ArchiveId": own}),
                        ("an unknown format", {"Type": "inventory-retrieval", "Format": "XML"})]:
        refused(what, INVALID, 400, None, glacier.initiate_job, **of, jobParameters=wrong)
    refused("a job without a type", "MissingParameterValueException", 400, None,
            glacier.initiate_job, **of, jobParameters={})
    slow = glacier.initiate_job(**of, jobParameters=dict(wanted, Tier="Bulk"))["jobId"]
    found = glacier.describe_job(**of, jobId=slow)
    equal("a job in progress",
          (found["Completed"], found["StatusCode"], found["StatusMessage"], found.get("CompletionDate"),
           found["Tier"], found["SHA256TreeHash"]),
          (False, "InProgress", "Operation in progress.", None, "Bulk", tree_hash(b"for jobs")))
    refused("the output of a job in progress", INVALID, 400,
            "The job is not currently available for download: " + slow,
            glacier.get_job_output, **of, jobId=slow)
    refused("a job that is not there", MISSING, 404, "The job ID was not found: " + "J" * 92,
            glacier.describe_job, **of, jobId="J" * 92)
    refused("the output of a job that is not there", MISSING, 404, "The job ID was not found: " + "J" * 92,
            glacier.get_job_output, **of, jobId="J" * 92)
    done = [glacier.initiate_job(**of, jobParameters=dict(wanted, Tier="Expedited"))["jobId"] for _ in range(54)]
    listed = lambda **which: [job["JobId"] for page in glacier.get_paginator("list_jobs").paginate(**of, **which)
                              for job in page["JobList"]]
    wait_until("all jobs are done", lambda: set(listed(completed="true")) == set(done))
    equal("jobs are listed in the order they were begun, over pages", listed(), [slow] + done)
    equal("a page has at most fifty", len(glacier.list_jobs(**of)["JobList"]), 50)
    equal("jobs by pages of twenty", listed(PaginationConfig={"PageSize": 20}), [slow] + done)
    equal("jobs in progress", listed(statuscode="InProgress"), [slow])
    equal("jobs not completed", listed(completed="false"), [slow])
    equal("jobs that succeeded", listed(statuscode="Succeeded"), done)
    equal("jobs that failed", listed(statuscode="Failed"), [])
    refused("a status that does not exist", INVALID, 400, "The job status code is not valid: finished",
            glacier.list_jobs, **of, statuscode="finished")
    refused("neither completed nor not", INVALID, 400, None, glacier.list_jobs, **of, completed="maybe")


def inventories(archives):
    job = start(Type="inventory-retrieval", Description="all")
    found = ready(job)
    equal("an inventory job", (found["Action"], found["StatusCode"], found["InventoryRetrievalParameters"]),
          ("InventoryRetrieval", "Succeeded", {"Format": "JSON"}))
    output = glacier.get_job_output(**OF, jobId=job)
    body = output["body"].read()
    equal("an inventory's size is told", found["InventorySizeInBytes"], len(body))
    equal("an inventory is JSON without a tree hash", (output["contentType"], output.get("checksum")),
          ("application/json", None))
    inventory = json.loads(body)
    equal("members of an inventory, in order", list(inventory), ["VaultARN", "InventoryDate", "ArchiveList"])
    equal("members of its archives, in order", {tuple(item) for item in inventory["ArchiveList"]},
          {("ArchiveId", "ArchiveDescription", "CreationDate", "Size", "SHA256TreeHash")})
    equal("an inventory has the archives there are",
          {item["ArchiveId"]: (item["ArchiveDescription"], item["Size"], item["SHA256TreeHash"])
           for item in inventory["ArchiveList"]},
          {archive: (description, len(data), tree_hash(data)) for archive, description, data in archives})
    check("dates of an inventory are whole seconds", all(
        re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", date) for date in
        [inventory["InventoryDate"]] + [item["CreationDate"] for item in inventory["ArchiveList"]]), inventory)
    equal("a part of an inventory", get(job, "bytes=0-9")[1], body[:10])
    vault = glacier.describe_vault(**OF)
    equal("the vault counts what its inventory has", (vault["NumberOfArchives"], vault["SizeInBytes"]),
          (len(archives), sum(len(data) + 32768 for _, _, data in archives)))
    check("and tells its date", vault["LastInventoryDate"], vault)
    comma_separated(archives)
    pages_of_inventory(archives)


def comma_separated(archives):
    job = start(Type="inventory-retrieval", Format="CSV")
    ready(job)
    output = glacier.get_job_output(**OF, jobId=job)
    rows = list(csv.DictReader(io.StringIO(output["body"].read().decode()), escapechar="\\", doublequote=False))
    equal("an inventory as CSV", output["contentType"], "text/csv")
    equal("its columns", list(rows[0]),
          ["ArchiveId", "ArchiveDescription", "CreationDate", "Size", "SHA256TreeHash"])
    equal("its rows", {(row["ArchiveId"], row["ArchiveDescription"], int(row["Size"])) for row in rows},
          {(archive, description, len(data)) for archive, description, data in archives})


def pages_of_inventory(archives):
    seen, marker, pages = [], None, 0
    while True:
        wanted = {"Limit": "2"}
        if marker:
            wanted["Marker"] = marker
        job = start(Type="inventory-retrieval", InventoryRetrievalParameters=wanted)
        found = ready(job)
        equal("an inventory in pieces tells its limit", found["InventoryRetrievalParameters"]["Limit"], "2")
        page = json.loads(glacier.get_job_output(**OF, jobId=job)["body"].read())
        seen += [item["ArchiveId"] for item in page["ArchiveList"]]
        pages += 1
        marker = found["InventoryRetrievalParameters"].get("Marker")
        if not marker:
            break
        check("an inventory in pieces comes to an end", pages <= len(archives), seen)
    equal("pieces of an inventory together", sorted(seen), sorted(archive for archive, _, _ in archives))
    job = start(Type="inventory-retrieval", InventoryRetrievalParameters={
        "StartDate": "2012-01-01T00:00:00Z", "EndDate": "2013-01-01T00:00:00Z"})
    ready(job)
    page = json.loads(glacier.get_job_output(**OF, jobId=job)["body"].read())
    equal("an inventory of a year without uploads", page["ArchiveList"], [])
    for what, wrong in [("a limit of nothing", {"Limit": "0"}),
                        ("a date that is none", {"StartDate": "yesterday"}),
                        ("a range that ends before it begins",
                         {"StartDate": "2013-01-01T00:00:00Z", "EndDate": "2012-01-01T00:00:00Z"})]:
        refused("an inventory with " + what, INVALID, 400, None, start,
                Type="inventory-retrieval", InventoryRetrievalParameters=wrong)


glacier.create_vault(**OF)
single, single_data, doomed = single_uploads()
deletes(doomed)
large, large_data = multipart()
retrieval(large, large_data)
jobs(large, large_data)
small = glacier.upload_archive(**OF, body=b"without a description")["archiveId"]
inventories([(single, 'two  spaces "q" inside', single_data), (large, "in parts", large_data),
             (small, "", b"without a description")])
for archive in (single, large, small):
    glacier.delete_archive(**OF, archiveId=archive)
glacier.delete_vault(**OF)
check("a vault without archives can be deleted", True)
equal("every operation of this script was answered in its shape", set(WATCHED.succeeded), {
    "CreateVault", "DeleteVault", "DescribeVault", "UploadArchive", "DeleteArchive", "InitiateMultipartUpload",
    "UploadMultipartPart", "ListParts", "ListMultipartUploads", "CompleteMultipartUpload",
    "AbortMultipartUpload", "InitiateJob", "DescribeJob", "ListJobs", "GetJobOutput"})
print("%d answers and %d refusals have their shape"
      % (sum(WATCHED.succeeded.values()), sum(WATCHED.refused.values())))
