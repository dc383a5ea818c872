"""boto3, as its users upload many small files: a folder's files, each as an archive, in eight threads."""
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

THREADS = 8


def main(folder):
    config = Config(max_pool_connections=THREADS, retries={"max_attempts": 0})
    client = boto3.client("glacier", endpoint_url=os.environ["ICEFIELD_ENDPOINT"], config=config)

    def send(name):
        with open(os.path.join(folder, name), "rb") as file:
            client.upload_archive(vaultName="v", archiveDescription=name, body=file.read())

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(send, sorted(os.listdir(folder))))


main(sys.argv[1])
