"""boto3: begins what another client will end: an upload in parts, and two retrievals.

What that client has to know it finds in the folder ICEFIELD_NOTES names.
"""

import json
import os

from boto3_client import client
from checks import MIB, bytes_of, check, tree_hash, wait_until

OF = {"vaultName": "shared"}
glacier = client()


def note(name, content):
    with open(os.path.join(os.environ["ICEFIELD_NOTES"], name), "wb") as out:
        out.write(content)
    return content


def retrieve(archive, tier):
    wanted = {"Type": "archive-retrieval", "ArchiveId": archive, "Tier": tier}
    return glacier.initiate_job(**OF, jobParameters=wanted)["jobId"]


glacier.create_vault(**OF)
data = note("archive", bytes_of(5 * MIB + 1, "archive"))
archive = glacier.upload_archive(**OF, body=data)["archiveId"]
job, slow = retrieve(archive, "Expedited"), retrieve(archive, "Bulk")
wait_until("a job is ready", lambda: glacier.describe_job(**OF, jobId=job)["Completed"])

# Text, as boto 2.49 cannot resume anything else.
text = note("upload", b"".join(b"%015d\n" % line for line in range((3 * MIB + 4096) // 16)))
upload = glacier.initiate_multipart_upload(**OF, partSize=str(MIB))["uploadId"]
parts = []
for at in (0, 2 * MIB):
    part = text[at:at + MIB]
    glacier.upload_multipart_part(**OF, uploadId=upload, body=part, range="bytes %d-%d/*" % (at, at + MIB - 1))
    parts.append(tree_hash(part))
note("notes.json", json.dumps(
    {"archive": archive, "job": job, "slow": slow, "upload": upload, "parts": parts}).encode())
check("an archive, two retrievals and two parts of four", True)
