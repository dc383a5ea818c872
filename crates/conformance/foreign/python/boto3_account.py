"""boto3: what belongs to vaults and to the account, that is everything but archives and jobs."""

import json
import os

from boto3_client import WATCHED, client, refused
from checks import ACCOUNT, check, equal, vault_arn

INVALID = "InvalidParameterValueException"
MISSING = "ResourceNotFoundException"
DENIED = "AccessDeniedException"

glacier = client()


def vaults():
    created = glacier.create_vault(vaultName="account.A-1_x")
    equal("a vault's location has the number of the account",
          created["location"], "/%s/vaults/account.A-1_x" % ACCOUNT)
    first = glacier.describe_vault(vaultName="account.A-1_x")
    equal("a vault's ARN", first["VaultARN"], vault_arn("account.A-1_x"))
    equal("a new vault is empty", (first["NumberOfArchives"], first["SizeInBytes"]), (0, 0))
    check("a new vault has no inventory", "LastInventoryDate" not in first, first)
    glacier.create_vault(vaultName="account.A-1_x")
    again = glacier.describe_vault(vaultName="account.A-1_x")
    equal("a vault made twice is the first one", again["CreationDate"], first["CreationDate"])
    equal("the account may be given by number",
          glacier.describe_vault(accountId=ACCOUNT, vaultName="account.A-1_x")["VaultARN"], first["VaultARN"])
    glacier.get_waiter("vault_exists").wait(vaultName="account.A-1_x")
    check("the waiter vault_exists sees it", True)
    refused("a vault that is not there", MISSING, 404,
            "Vault not found for ARN: " + vault_arn("no-such-vault"),
            glacier.describe_vault, vaultName="no-such-vault")
    refused("a name with a space", INVALID, 400, None, glacier.create_vault, vaultName="two words")
    refused("a name of 256 characters", INVALID, 400, None, glacier.create_vault, vaultName="a" * 256)
    refused("the account of somebody else", DENIED, 403, None,
            glacier.list_vaults, accountId="000000000001" if ACCOUNT != "000000000001" else "000000000002")
    refused("an account with hyphens", INVALID, 400, None, glacier.list_vaults, accountId="1234-5678-9012")


def pages_of_vaults():
    names = ["account-%02d" % number for number in range(11)] + ["Account-Z"]
    for name in names:
        glacier.create_vault(vaultName=name)
    whole = [vault["VaultName"] for page in glacier.get_paginator("list_vaults").paginate()
             for vault in page["VaultList"]]
    equal("vaults are listed once each, in the order of their bytes", whole, sorted(set(whole)))
    check("all vaults are listed", set(names) <= set(whole), whole)
    pages = list(glacier.get_paginator("list_vaults").paginate(PaginationConfig={"PageSize": 5}))
    check("a page has at most as many vaults as asked for",
          all(len(page["VaultList"]) <= 5 for page in pages), [len(page["VaultList"]) for page in pages])
    equal("small pages list the same", [v["VaultName"] for p in pages for v in p["VaultList"]], whole)
    check("a limit beyond the maximum is no error", glacier.list_vaults(limit="1000")["VaultList"])
    for limit in ["0", "-1", "ten"]:
        refused("a limit of %s" % limit, INVALID, 400, None, glacier.list_vaults, limit=limit)
    refused("a marker that is none", INVALID, 400, None, glacier.list_vaults, marker="no marker")
    for name in names:
        glacier.delete_vault(vaultName=name)
    glacier.get_waiter("vault_not_exists").wait(vaultName="Account-Z")
    check("the waiter vault_not_exists sees that it is gone", True)
    glacier.delete_vault(vaultName="Account-Z")
    check("a vault may be deleted twice", True)


def tags():
    vault = {"vaultName": "account.A-1_x"}
    equal("a new vault has no tags", glacier.list_tags_for_vault(**vault)["Tags"], {})
    glacier.add_tags_to_vault(**vault, Tags={"project": "M 33", "empty": "", "a.b/c=d+e-f@g": "x"})
    glacier.add_tags_to_vault(**vault, Tags={"project": "M 31"})
    equal("a tag is overwritten", glacier.list_tags_for_vault(**vault)["Tags"],
          {"project": "M 31", "empty": "", "a.b/c=d+e-f@g": "x"})
    glacier.remove_tags_from_vault(**vault, TagKeys=["empty", "a.b/c=d+e-f@g", "not there"])
    equal("tags are removed", glacier.list_tags_for_vault(**vault)["Tags"], {"project": "M 31"})
    refused("a tag of the service's own", INVALID, 400, None,
            glacier.add_tags_to_vault, **vault, Tags={"aws:x": "y"})
    refused("no tags", INVALID, 400, None, glacier.add_tags_to_vault, **vault, Tags={})
    refused("eleven tags at once", INVALID, 400, None,
            glacier.add_tags_to_vault, **vault, Tags={"k%d" % number: "" for number in range(11)})
    for ten in range(4):
        glacier.add_tags_to_vault(**vault, Tags={"k%d%d" % (ten, one): "" for one in range(10)})
    refused("more than fifty tags", "LimitExceededException", 400, None,
            glacier.add_tags_to_vault, **vault, Tags={"l%d" % one: "" for one in range(10)})
    equal("a refused request adds none of its tags", len(glacier.list_tags_for_vault(**vault)["Tags"]), 41)


def notifications():
    vault = {"vaultName": "account.A-1_x"}
    refused("notifications that are not set", MISSING, 404,
            "No notification configuration is set for vault: account.A-1_x",
            glacier.get_vault_notifications, **vault)
    wanted = {"SNSTopic": "arn:aws:sns:us-east-1:%s:ready" % ACCOUNT,
              "Events": ["ArchiveRetrievalCompleted", "InventoryRetrievalCompleted"]}
    glacier.set_vault_notifications(**vault, vaultNotificationConfig=wanted)
    equal("notifications are told as they were set",
          glacier.get_vault_notifications(**vault)["vaultNotificationConfig"], wanted)
    for what, wrong in [("an event that does not exist", dict(wanted, Events=["ArchiveLost"])),
                        ("no event", dict(wanted, Events=[])),
                        ("a topic that is none", dict(wanted, SNSTopic="ready"))]:
        refused(what, INVALID, 400, None,
                glacier.set_vault_notifications, **vault, vaultNotificationConfig=wrong)
    refused("notifications without a topic", "MissingParameterValueException", 400, None,
            glacier.set_vault_notifications, **vault, vaultNotificationConfig={"Events": wanted["Events"]})
    glacier.delete_vault_notifications(**vault)
    glacier.delete_vault_notifications(**vault)
    refused("notifications that were deleted", MISSING, 404, None, glacier.get_vault_notifications, **vault)


def access_policy():
    vault = {"vaultName": "account.A-1_x"}
    refused("an access policy that is not set", MISSING, 404,
            "No vault access policy is set for: account.A-1_x", glacier.get_vault_access_policy, **vault)
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{
        "Sid": "read", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::%s:root" % ACCOUNT},
        "Action": ["glacier:InitiateJob", "glacier:GetJobOutput"],
        "Resource": [vault_arn("account.A-1_x")]}]}, indent=1)
    glacier.set_vault_access_policy(**vault, policy={"Policy": policy})
    equal("an access policy is told as it was set, to the letter",
          glacier.get_vault_access_policy(**vault)["policy"], {"Policy": policy})
    refused("a policy that is not JSON", INVALID, 400,
            "The specified vault access policy is invalid. Provide a valid policy.",
            glacier.set_vault_access_policy, **vault, policy={"Policy": "{"})
    refused("a policy for another vault", INVALID, 400, None, glacier.set_vault_access_policy, **vault,
            policy={"Policy": policy.replace("account.A-1_x", "other")})
    refused("no policy", "MissingParameterValueException", 400, None,
            glacier.set_vault_access_policy, **vault, policy={})
    glacier.delete_vault_access_policy(**vault)
    glacier.delete_vault_access_policy(**vault)
    refused("an access policy that was deleted", MISSING, 404, None, glacier.get_vault_access_policy, **vault)


def vault_lock():
    vault = {"vaultName": "account-lock"}
    glacier.create_vault(**vault)
    refused("a lock that is not there", MISSING, 404, None, glacier.get_vault_lock, **vault)
    refused("completing a lock that is not there", MISSING, 404, None,
            glacier.complete_vault_lock, **vault, lockId="0" * 24)
    glacier.abort_vault_lock(**vault)
    refused("a lock policy that is none", INVALID, 400,
            "The specified vault lock policy is invalid. Provide a valid policy.",
            glacier.initiate_vault_lock, **vault, policy={"Policy": "{}"})
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{
        "Sid": "keep", "Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "glacier:DeleteArchive",
        "Resource": vault_arn("account-lock"),
        "Condition": {"NumericLessThan": {"glacier:ArchiveAgeInDays": "365"}}}]})
    archive = glacier.upload_archive(**vault, body=b"kept")["archiveId"]
    lock = glacier.initiate_vault_lock(**vault, policy={"Policy": policy})["lockId"]
    state = glacier.get_vault_lock(**vault)
    equal("a lock begins in progress", (state["State"], state["Policy"]), ("InProgress", policy))
    check("a lock in progress expires", state["ExpirationDate"] > state["CreationDate"], state)
    refused("a second lock", DENIED, 403, None, glacier.initiate_vault_lock, **vault, policy={"Policy": policy})
    refused("a lock holds while it is in progress", DENIED, 403, None,
            glacier.delete_archive, **vault, archiveId=archive)
    refused("the ID of another lock", INVALID, 400, None, glacier.complete_vault_lock, **vault, lockId="0" * 24)
    glacier.abort_vault_lock(**vault)
    refused("a lock that was aborted", MISSING, 404, None, glacier.get_vault_lock, **vault)
    lock = glacier.initiate_vault_lock(**vault, policy={"Policy": policy})["lockId"]
    glacier.complete_vault_lock(**vault, lockId=lock)
    glacier.complete_vault_lock(**vault, lockId=lock)
    state = glacier.get_vault_lock(**vault)
    equal("a completed lock is locked", state["State"], "Locked")
    check("and never expires", "ExpirationDate" not in state, state)
    refused("the ID of another lock on a locked vault", DENIED, 403, None,
            glacier.complete_vault_lock, **vault, lockId="0" * 24)
    refused("aborting a lock that is complete", DENIED, 403, None, glacier.abort_vault_lock, **vault)
    refused("a new lock on a locked vault", DENIED, 403, None,
            glacier.initiate_vault_lock, **vault, policy={"Policy": policy})
    refused("a locked archive", DENIED, 403, None, glacier.delete_archive, **vault, archiveId=archive)
    refused("a vault with an archive", INVALID, 400,
            "Vault not empty or recently written to: " + vault_arn("account-lock"),
            glacier.delete_vault, **vault)


def retrieval_policy():
    unset = {"Rules": [{"Strategy": "None"}]}
    equal("the data retrieval policy at first", glacier.get_data_retrieval_policy()["Policy"], unset)
    for rule in [{"Strategy": "BytesPerHour", "BytesPerHour": 2**63 - 1}, {"Strategy": "FreeTier"}]:
        glacier.set_data_retrieval_policy(Policy={"Rules": [rule]})
        equal("the data retrieval policy %s" % rule["Strategy"],
              glacier.get_data_retrieval_policy()["Policy"], {"Rules": [rule]})
    for what, rules in [("two rules", [{"Strategy": "None"}, {"Strategy": "FreeTier"}]),
                        ("no rule", []),
                        ("an unknown strategy", [{"Strategy": "Some"}]),
                        ("a rate with FreeTier", [{"Strategy": "FreeTier", "BytesPerHour": 5}]),
                        ("a rate of nothing", [{"Strategy": "BytesPerHour", "BytesPerHour": 0}])]:
        refused(what, INVALID, 400, None, glacier.set_data_retrieval_policy, Policy={"Rules": rules})
    vault = {"vaultName": "account-policy"}
    glacier.create_vault(**vault)
    archive = glacier.upload_archive(**vault, body=b"x" * 100)["archiveId"]
    glacier.set_data_retrieval_policy(Policy={"Rules": [{"Strategy": "BytesPerHour", "BytesPerHour": 1}]})
    job = {"Type": "archive-retrieval", "ArchiveId": archive}
    refused("a retrieval that is too much for the policy", "PolicyEnforcedException", 400,
            "InitiateJob request denied by current data retrieval policy.",
            glacier.initiate_job, **vault, jobParameters=job)
    glacier.initiate_job(**vault, jobParameters=dict(job, Tier="Expedited"))
    check("an expedited retrieval is not held back by it", True)
    glacier.set_data_retrieval_policy(Policy=unset)
    glacier.initiate_job(**vault, jobParameters=job)
    check("a retrieval under a policy without limits", True)


def capacity():
    equal("no capacity at first", glacier.list_provisioned_capacity()["ProvisionedCapacityList"], [])
    bought = {glacier.purchase_provisioned_capacity()["capacityId"] for _ in range(2)}
    listed = glacier.list_provisioned_capacity()["ProvisionedCapacityList"]
    equal("capacity that was bought is listed", {unit["CapacityId"] for unit in listed}, bought)
    check("a unit ends on a full second after it began",
          all(unit["ExpirationDate"].endswith(".000Z") and unit["ExpirationDate"] > unit["StartDate"]
              for unit in listed), listed)
    refused("a third unit", "LimitExceededException", 400, None, glacier.purchase_provisioned_capacity)


def keys():
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]
    wrong = client(secret_key=secret[:-1] + ("a" if secret[-1] != "a" else "b"))
    refused("a wrong secret", "InvalidSignatureException", 403, None, wrong.list_vaults)
    refused("an unknown key", "UnrecognizedClientException", 400, None,
            client(access_key="AKIAUNKNOWNUNKNOWN00").list_vaults)


for part in (vaults, pages_of_vaults, tags, notifications, access_policy, vault_lock,
             retrieval_policy, capacity, keys):
    part()
glacier.delete_vault(vaultName="account.A-1_x")
seen = set(WATCHED.succeeded)
EXPECTED = {
    "CreateVault", "DescribeVault", "ListVaults", "DeleteVault", "SetVaultNotifications",
    "GetVaultNotifications", "DeleteVaultNotifications", "SetVaultAccessPolicy", "GetVaultAccessPolicy",
    "DeleteVaultAccessPolicy", "InitiateVaultLock", "CompleteVaultLock", "AbortVaultLock", "GetVaultLock",
    "AddTagsToVault", "RemoveTagsFromVault", "ListTagsForVault", "GetDataRetrievalPolicy",
    "SetDataRetrievalPolicy", "PurchaseProvisionedCapacity", "ListProvisionedCapacity",
    "UploadArchive", "InitiateJob",
}
equal("every operation of this script was answered in its shape", seen, EXPECTED)
print("%d answers and %d refusals have their shape"
      % (sum(WATCHED.succeeded.values()), sum(WATCHED.refused.values())))
