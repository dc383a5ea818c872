"""Holds every answer a boto3 client gets against botocore's service model of Glacier.

botocore itself reads generously: it drops nulls and passes over what it does not know or miss. This
module looks at the raw answer. Each member of the modelled output has to be there with its type;
null is for the members of NULLABLE alone, as older clients look members up without a default; and
nothing else may be there but what EXTRA lists. Headers, the status code and the framing of answers
without a body are checked in the same place. `watch` registers it, `Watched` counts what was seen.
"""

import json
import re
from collections import Counter

from checks import check

DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

# Members that are null where they do not apply. All others have a value.
NULLABLE = {
    "DescribeVaultOutput": {"LastInventoryDate"},
    "ListVaultsOutput": {"Marker"},
    "ListJobsOutput": {"Marker"},
    "ListMultipartUploadsOutput": {"Marker"},
    "ListPartsOutput": {"Marker", "ArchiveDescription"},
    "UploadListElement": {"ArchiveDescription"},
    "GetVaultLockOutput": {"ExpirationDate"},
    "InventoryRetrievalJobDescription": {"EndDate", "Limit", "Marker", "StartDate"},
    "GlacierJobDescription": {
        "ArchiveId",
        "ArchiveSHA256TreeHash",
        "ArchiveSizeInBytes",
        "CompletionDate",
        "InventoryRetrievalParameters",
        "InventorySizeInBytes",
        "JobDescription",
        "JobOutputPath",
        "OutputLocation",
        "RetrievalByteRange",
        "SHA256TreeHash",
        "SNSTopic",
        "SelectParameters",
        "Tier",
    },
}
# Members that are left out where they do not apply.
OPTIONAL = {"DataRetrievalRule": {"BytesPerHour"}}
# In the developer guide, not in the model.
EXTRA = {"GlacierJobDescription": {"NextInventoryRetrievalMarker"}}
# Headers that only some answers carry; the scripts check them where they matter.
SOMETIMES = {
    "InitiateJobOutput": {"jobOutputPath"},
    "GetJobOutputOutput": {"checksum", "contentRange", "archiveDescription"},
}


class Watched:
    """How many answers of each operation were checked."""

    def __init__(self):
        self.succeeded = Counter()
        self.refused = Counter()

    def after_call(self, http_response, parsed, model, **_):
        """The handler of botocore's event `after-call`."""
        try:
            headers = http_response.headers
            require(headers.get("x-amzn-RequestId"), "no x-amzn-RequestId")
            require(headers.get("Date"), "no Date")
            if http_response.status_code >= 300:
                self.refused[model.name] += 1
                refusal(http_response)
            else:
                self.succeeded[model.name] += 1
                success(http_response, model)
        except Wrong as wrong:
            body = "" if model.has_streaming_output else http_response.content
            check("answer of %s has its shape" % model.name, False, "%s\n  %s %s\n  %s" % (
                wrong, http_response.status_code, dict(http_response.headers), body))


def watch(client, watched):
    """Has every answer to `client` checked and counted in `watched`."""
    client.meta.events.register("after-call.glacier", watched.after_call)


class Wrong(Exception):
    """What is wrong with an answer."""


def require(holds, what):
    if not holds:
        raise Wrong(what)


def refusal(response):
    headers = response.headers
    require(headers.get("Content-Type") == "application/json", "error that is not application/json")
    require(int(headers.get("Content-Length", -1)) == len(response.content), "Content-Length is wrong")
    body = json.loads(response.content)
    require(list(body) == ["code", "message", "type"], "members of the error: %s" % list(body))
    require(all(isinstance(value, str) for value in body.values()), "error that is not text")
    require(body["type"] in ("Client", "Server", "Unknown"), "type of the error")
    require(headers.get("x-amzn-ErrorType", body["code"]) == body["code"], "x-amzn-ErrorType")


def success(response, model):
    headers = response.headers
    shape = model.output_shape
    members = shape.members if shape else {}
    if not model.has_streaming_output:
        require(response.status_code == model.http.get("responseCode", 200), "status code")
    for name, member in members.items():
        if member.serialization.get("location") == "header":
            header = member.serialization["name"]
            known = name in SOMETIMES.get(shape.name, ()) or headers.get(header)
            require(known, "no header %s" % header)
    if model.has_streaming_output:
        require("Content-Length" in headers, "output without Content-Length")
        return
    body = {name: member for name, member in members.items() if "location" not in member.serialization}
    if not body:
        without_body(response)
        return
    require(headers.get("Content-Type") == "application/json", "not application/json")
    require(int(headers.get("Content-Length", -1)) == len(response.content), "Content-Length is wrong")
    payload = shape.serialization.get("payload")
    if payload:
        value(json.loads(response.content), members[payload], shape.name)
    else:
        structure(json.loads(response.content), shape.name, body, shape.name)


def without_body(response):
    headers = response.headers
    require(not response.content, "a body where there is none")
    require("Content-Type" not in headers, "Content-Type without a body")
    length = headers.get("Content-Length")
    if response.status_code == 204:
        require(length is None, "204 with Content-Length")
    else:
        require(length == "0", "Content-Length %s without a body" % length)


def structure(found, name, members, path):
    require(isinstance(found, dict), "%s is not an object" % path)
    unknown = set(found) - {key(member, label) for label, member in members.items()} - EXTRA.get(name, set())
    require(not unknown, "%s has unknown members %s" % (path, sorted(unknown)))
    for label, member in members.items():
        wire = key(member, label)
        if wire not in found:
            require(label in OPTIONAL.get(name, ()), "%s.%s is missing" % (path, wire))
        elif found[wire] is None:
            require(label in NULLABLE.get(name, ()), "%s.%s is null" % (path, wire))
        else:
            value(found[wire], member, "%s.%s" % (path, wire))


def key(member, label):
    return member.serialization.get("name", label)


def value(found, shape, path):
    kind = shape.type_name
    if kind == "structure":
        structure(found, shape.name, shape.members, path)
    elif kind == "list":
        require(isinstance(found, list), "%s is not a list" % path)
        for at, item in enumerate(found):
            value(item, shape.member, "%s[%d]" % (path, at))
    elif kind == "map":
        require(isinstance(found, dict), "%s is not a map" % path)
        for name, item in found.items():
            value(item, shape.value, "%s.%s" % (path, name))
    elif kind in ("integer", "long"):
        require(isinstance(found, int) and not isinstance(found, bool), "%s is not a number" % path)
    elif kind == "boolean":
        require(isinstance(found, bool), "%s is not a boolean" % path)
    elif kind == "string":
        require(isinstance(found, str), "%s is not a string" % path)
        require(not shape.enum or found in shape.enum, "%s is %r, not one of %s" % (path, found, shape.enum))
        # The range of an inventory is told as it was asked for.
        if path.endswith("Date") and "InventoryRetrievalParameters" not in path:
            require(DATE.fullmatch(found), "%s is no date with milliseconds: %s" % (path, found))
    else:
        raise Wrong("%s: shapes of type %s are not known here" % (path, kind))
