"""What every script that drives boto3 needs: clients, and what a refusal has to look like."""

import os

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from checks import ENDPOINT, check
from shapes import Watched, watch

WATCHED = Watched()


def client(access_key=None, secret_key=None):
    """Returns a client whose answers are held against the model, with the script's key or another."""
    glacier = boto3.client(
        "glacier",
        endpoint_url=ENDPOINT,
        aws_access_key_id=access_key or os.environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=secret_key or os.environ["AWS_SECRET_ACCESS_KEY"],
        # One attempt, so that an answer of failure is seen and not tried away.
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=16),
    )
    watch(glacier, WATCHED)
    return glacier


def refused(what, code, status, message, call, **parameters):
    """Checks that a call is refused so; a message of None may be any."""
    try:
        call(**parameters)
    except ClientError as error:
        found = error.response
        head = found["ResponseMetadata"]
        good = found["Error"]["Code"] == code and head["HTTPStatusCode"] == status
        good = good and message in (None, found["Error"]["Message"])
        check(what, good, "%s %s instead of %s %s: %s" % (
            head["HTTPStatusCode"], found["Error"], status, code, message))
        return
    check(what, False, "it was not refused")
