"""AWS CLI, unmodified: the walk-throughs of the developer guide, one command after the other.

Files are cut and hashed the way the guide does it, with other programs' means and not with a Glacier
library. Each command is a process of its own, which takes a while; so the argument says which walk-throughs
are gone through, `archives` or `settings`.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile

from checks import ACCOUNT, ENDPOINT, MIB, bytes_of, check, equal, tree_hash, vault_arn, wait_until

FOLDER = tempfile.mkdtemp()


def aws(operation, *arguments, account="-"):
    """Runs one command and returns the object it prints, or None."""
    done = run(operation, *arguments, account=account)
    check("aws glacier " + operation, done.returncode == 0, done.stdout + done.stderr)
    return json.loads(done.stdout) if done.stdout.strip() else None


def refused(what, code, operation, *arguments):
    """Checks that a command fails and says the service's code."""
    done = run(operation, *arguments, account="-")
    check("%s: %s" % (what, code), done.returncode == 255 or done.returncode == 254, done.returncode)
    check("and says so", "(%s)" % code in done.stderr, done.stderr)


def run(operation, *arguments, account):
    return subprocess.run(
        [sys.executable, "-m", "awscli", "glacier", operation, "--account-id", account,
         "--endpoint-url", ENDPOINT, "--output", "json", *arguments],
        cwd=FOLDER, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def write(name, content):
    with open(os.path.join(FOLDER, name), "wb") as out:
        out.write(content)
    return name


def upload():
    """Creating a vault, uploading an archive, deleting it."""
    made = aws("create-vault", "--vault-name", "awsexamplevault")
    equal("its location", made["location"], "/%s/vaults/awsexamplevault" % ACCOUNT)
    vault = aws("describe-vault", "--vault-name", "awsexamplevault")
    equal("the new vault", (vault["VaultARN"], vault["SizeInBytes"], vault["NumberOfArchives"]),
          (vault_arn("awsexamplevault"), 0, 0))
    write("archive.zip", bytes_of(MIB + 1, "archive"))
    made = aws("upload-archive", "--vault-name", "awsexamplevault", "--body", "archive.zip",
               "--archive-description", "test archive")
    equal("the checksum", made["checksum"], tree_hash(bytes_of(MIB + 1, "archive")))
    equal("its location", made["location"],
          "/%s/vaults/awsexamplevault/archives/%s" % (ACCOUNT, made["archiveId"]))
    aws("delete-archive", "--vault-name", "awsexamplevault", "--archive-id=" + made["archiveId"])
    found = aws("list-vaults", account=ACCOUNT)
    equal("the vaults of the account", [vault["VaultName"] for vault in found["VaultList"]], ["awsexamplevault"])
    refused("a wrong checksum", "InvalidParameterValueException", "upload-archive",
            "--vault-name", "awsexamplevault", "--body", "archive.zip", "--checksum", "0" * 64)
    refused("a vault that is not there", "ResourceNotFoundException",
            "describe-vault", "--vault-name", "nosuchvault")


def multipart():
    """Uploading a large archive: a file of 3 MiB cut by split, hashed by openssl's means."""
    content = bytes_of(3 * MIB, "largefile")
    write("largefile", content)
    subprocess.run(["split", "--bytes=1048576", "--verbose", "largefile", "chunk"],
                   cwd=FOLDER, check=True, capture_output=True)
    begun = aws("initiate-multipart-upload", "--vault-name", "awsexamplevault",
                "--archive-description", "multipart upload test", "--part-size", "1048576")
    upload = "--upload-id=" + begun["uploadId"]
    equal("where the upload is", begun["location"],
          "/%s/vaults/awsexamplevault/multipart-uploads/%s" % (ACCOUNT, begun["uploadId"]))
    for number, chunk in enumerate(["chunkaa", "chunkab", "chunkac"]):
        sent = aws("upload-multipart-part", upload, "--body", chunk, "--vault-name", "awsexamplevault",
                   "--range", "bytes %d-%d/*" % (number * MIB, (number + 1) * MIB - 1))
        equal("the checksum of " + chunk, sent["checksum"],
              hashlib.sha256(content[number * MIB:(number + 1) * MIB]).hexdigest())
    listed = aws("list-parts", upload, "--vault-name", "awsexamplevault")
    equal("its parts", [part["RangeInBytes"] for part in listed["Parts"]],
          ["0-1048575", "1048576-2097151", "2097152-3145727"])
    hashes = [hashlib.sha256(content[at:at + MIB]).digest() for at in range(0, len(content), MIB)]
    both = hashlib.sha256(hashes[0] + hashes[1]).digest()
    whole = hashlib.sha256(both + hashes[2]).hexdigest()
    made = aws("complete-multipart-upload", "--checksum", whole, "--archive-size", str(3 * MIB), upload,
               "--vault-name", "awsexamplevault")
    equal("the archive's checksum", made["checksum"], whole)
    other = aws("initiate-multipart-upload", "--vault-name", "awsexamplevault", "--part-size", "4194304")
    listed = aws("list-multipart-uploads", "--vault-name", "awsexamplevault")
    equal("the upload in progress", [item["MultipartUploadId"] for item in listed["UploadsList"]],
          [other["uploadId"]])
    aws("abort-multipart-upload", "--vault-name", "awsexamplevault", "--upload-id=" + other["uploadId"])
    return made["archiveId"], content


def job(parameters):
    """Starts a job, waits until it is completed, and returns its description."""
    begun = aws("initiate-job", "--vault-name", "awsexamplevault", "--job-parameters", json.dumps(parameters))
    equal("where the job is", begun["location"], "/%s/vaults/awsexamplevault/jobs/%s" % (ACCOUNT, begun["jobId"]))

    def completed():
        found = aws("describe-job", "--vault-name", "awsexamplevault", "--job-id=" + begun["jobId"])
        return found if found["Completed"] else None

    return wait_until("the job is ready", completed)


def output(found, name, *arguments):
    told = aws("get-job-output", "--vault-name", "awsexamplevault", "--job-id=" + found["JobId"],
               *arguments, name)
    with open(os.path.join(FOLDER, name), "rb") as written:
        return told, written.read()


def inventory(archive, content):
    """Downloading a vault's inventory."""
    found = job({"Type": "inventory-retrieval"})
    equal("the job", (found["Action"], found["StatusCode"], found["StatusMessage"]),
          ("InventoryRetrieval", "Succeeded", "Succeeded"))
    told, listed = output(found, "output.json")
    equal("its kind", (told["status"], told["contentType"]), (200, "application/json"))
    listed = json.loads(listed)
    equal("the vault of the inventory", listed["VaultARN"], vault_arn("awsexamplevault"))
    equal("its archives", [(item["ArchiveId"], item["ArchiveDescription"], item["Size"], item["SHA256TreeHash"])
          for item in listed["ArchiveList"]], [(archive, "multipart upload test", len(content), tree_hash(content))])


def retrieval(archive, content):
    """Downloading an archive, whole and in parts."""
    found = job({"Type": "archive-retrieval", "ArchiveId": archive, "Description": "my archive"})
    told, downloaded = output(found, "downloaded")
    check("the archive is back", downloaded == content)
    equal("its checksum", (told["status"], told["checksum"]), (200, tree_hash(content)))
    told, part = output(found, "part", "--range", "bytes=0-1048575")
    equal("a part of it", (told["status"], told["contentRange"], told["checksum"]),
          (206, "bytes 0-1048575/3145728", hashlib.sha256(content[:MIB]).hexdigest()))
    check("has these bytes", part == content[:MIB])
    listed = aws("list-jobs", "--vault-name", "awsexamplevault", "--completed", "true")
    check("both jobs are listed", len(listed["JobList"]) == 2, listed)


def lock():
    """Locking a vault: started, aborted, started again and completed."""
    aws("create-vault", "--vault-name", "locked")
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{
        "Sid": "deny-based-on-archive-age", "Principal": "*", "Effect": "Deny",
        "Action": "glacier:DeleteArchive", "Resource": [vault_arn("locked")],
        "Condition": {"NumericLessThan": {"glacier:ArchiveAgeInDays": "365"}}}]})
    write("lock-policy.json", json.dumps({"Policy": policy}).encode())
    of = ["--vault-name", "locked"]
    begin = ["initiate-vault-lock", *of, "--policy", "file://lock-policy.json"]
    aws(*begin)
    state = aws("get-vault-lock", *of)
    equal("the lock", (state["State"], state["Policy"]), ("InProgress", policy))
    check("expires", "ExpirationDate" in state, state)
    aws("abort-vault-lock", *of)
    refused("a lock that was aborted", "ResourceNotFoundException", "get-vault-lock", *of)
    begun = aws(*begin)
    aws("complete-vault-lock", *of, "--lock-id=" + begun["lockId"])
    equal("the lock", aws("get-vault-lock", *of)["State"], "Locked")
    made = aws("upload-archive", *of, "--body", write("kept", b"kept"))
    refused("deleting a locked archive", "AccessDeniedException", "delete-archive", *of,
            "--archive-id=" + made["archiveId"])
    refused("aborting a lock that is complete", "AccessDeniedException", "abort-vault-lock", *of)


def vault_settings():
    """Tags, notifications and access policy of a vault."""
    of = ["--vault-name", "awsexamplevault"]
    aws("create-vault", *of)
    aws("add-tags-to-vault", *of, "--tags", "id=1234,date=july2015")
    equal("the tags", aws("list-tags-for-vault", *of)["Tags"], {"id": "1234", "date": "july2015"})
    aws("remove-tags-from-vault", *of, "--tag-keys", "date")
    equal("the tags", aws("list-tags-for-vault", *of)["Tags"], {"id": "1234"})
    wanted = {"SNSTopic": "arn:aws:sns:us-west-2:%s:mytopic" % ACCOUNT,
              "Events": ["ArchiveRetrievalCompleted", "InventoryRetrievalCompleted"]}
    write("notificationconfig.json", json.dumps(wanted).encode())
    aws("set-vault-notifications", *of, "--vault-notification-config", "file://notificationconfig.json")
    equal("the notifications", aws("get-vault-notifications", *of)["vaultNotificationConfig"], wanted)
    aws("delete-vault-notifications", *of)
    refused("notifications that were deleted", "ResourceNotFoundException", "get-vault-notifications", *of)
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{
        "Sid": "all", "Principal": {"AWS": "arn:aws:iam::%s:root" % ACCOUNT}, "Effect": "Allow",
        "Action": "glacier:*", "Resource": vault_arn("awsexamplevault")}]})
    write("policy.json", json.dumps({"Policy": policy}).encode())
    aws("set-vault-access-policy", *of, "--policy", "file://policy.json")
    equal("the access policy", aws("get-vault-access-policy", *of)["policy"], {"Policy": policy})
    aws("delete-vault-access-policy", *of)
    refused("an access policy that was deleted", "ResourceNotFoundException", "get-vault-access-policy", *of)


def account_settings():
    """Data retrieval policy and provisioned capacity."""
    rule = {"Strategy": "BytesPerHour", "BytesPerHour": 10737418240}
    write("data-policy.json", json.dumps({"Rules": [rule]}).encode())
    aws("set-data-retrieval-policy", "--policy", "file://data-policy.json")
    equal("the data retrieval policy", aws("get-data-retrieval-policy")["Policy"], {"Rules": [rule]})
    aws("set-data-retrieval-policy", "--policy", '{"Rules":[{"Strategy":"None"}]}')
    bought = aws("purchase-provisioned-capacity")
    listed = aws("list-provisioned-capacity")["ProvisionedCapacityList"]
    equal("the capacity", [unit["CapacityId"] for unit in listed], [bought["capacityId"]])


def archives():
    upload()
    archive, content = multipart()
    inventory(archive, content)
    retrieval(archive, content)
    refused("deleting a vault with an archive", "InvalidParameterValueException",
            "delete-vault", "--vault-name", "awsexamplevault")
    aws("delete-archive", "--vault-name", "awsexamplevault", "--archive-id=" + archive)
    aws("delete-vault", "--vault-name", "awsexamplevault")


def settings():
    vault_settings()
    account_settings()
    lock()


{"archives": archives, "settings": settings}[sys.argv[1]]()
