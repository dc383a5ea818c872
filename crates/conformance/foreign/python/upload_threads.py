"""boto3, as its users upload one large file: a part at a time in each of four threads.

The tree hash of a part is computed by botocore, the linear hash by its signer, as unmodified clients
do; that of the archive is combined from what the service answers for the parts.
"""
import hashlib
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

PART = 8 * 1024 * 1024
THREADS = 4


def combined(hashes):
    while len(hashes) > 1:
        pairs = [hashes[at:at + 2] for at in range(0, len(hashes), 2)]
        hashes = [hashlib.sha256(b"".join(pair)).digest() if len(pair) == 2 else pair[0] for pair in pairs]
    return hashes[0].hex()


def main(path):
    config = Config(max_pool_connections=THREADS, retries={"max_attempts": 0})
    client = boto3.client("glacier", endpoint_url=os.environ["ICEFIELD_ENDPOINT"], config=config)
    size = os.path.getsize(path)
    upload = client.initiate_multipart_upload(vaultName="v", partSize=str(PART))["uploadId"]
    local = threading.local()

    def send(first):
        if not hasattr(local, "file"):
            local.file = open(path, "rb")
        local.file.seek(first)
        data = local.file.read(PART)
        last = first + len(data) - 1
        sent = client.upload_multipart_part(vaultName="v", uploadId=upload, body=data,
                                            range="bytes %d-%d/*" % (first, last))
        return bytes.fromhex(sent["checksum"])

    with ThreadPoolExecutor(THREADS) as pool:
        tree = combined(list(pool.map(send, range(0, size, PART))))
    client.complete_multipart_upload(vaultName="v", uploadId=upload, archiveSize=str(size), checksum=tree)


main(sys.argv[1])
