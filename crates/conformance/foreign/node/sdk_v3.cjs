// AWS SDK for JavaScript, version 3, unmodified: every operation, and a refusal of each kind.
"use strict";

const G = require("@aws-sdk/client-glacier");
const { ACCOUNT, ENDPOINT, MIB, REGION, bytesOf, check, equal, refused, run, treeHash, waitUntil } =
  require("./checks.cjs");

const glacier = new G.GlacierClient({ endpoint: ENDPOINT, region: REGION, maxAttempts: 1 });
const accountId = "-";
const vaultName = "js-v3";
const arn = `arn:aws:glacier:${REGION}:${ACCOUNT}:vaults/${vaultName}`;

/** Sends one operation by its name. */
function call(operation, parameters) {
  return glacier.send(new G[`${operation}Command`]({ accountId, ...parameters }));
}
const inVault = (operation, parameters) => call(operation, { vaultName, ...parameters });

async function vaults() {
  equal("CreateVault", (await inVault("CreateVault")).location, `/${ACCOUNT}/vaults/${vaultName}`);
  const vault = await inVault("DescribeVault");
  equal("DescribeVault", [vault.VaultARN, vault.NumberOfArchives, vault.SizeInBytes], [arn, 0, 0]);
  for (let number = 0; number < 12; number++) await call("CreateVault", { vaultName: `page-${number}` });
  const names = [];
  for await (const page of G.paginateListVaults({ client: glacier }, { accountId })) {
    names.push(...page.VaultList.map((found) => found.VaultName));
  }
  equal("paginateListVaults", names.length, 13);
  for (let number = 0; number < 12; number++) await call("DeleteVault", { vaultName: `page-${number}` });
  await G.waitUntilVaultExists({ client: glacier, maxWaitTime: 10 }, { accountId, vaultName });
  await G.waitUntilVaultNotExists({ client: glacier, maxWaitTime: 10 }, { accountId, vaultName: "page-0" });
  check("the waiters see what exists and what does not", true);
  await refused("a vault that is not there", "ResourceNotFoundException", 404, () =>
    call("DescribeVault", { vaultName: "no-such-vault" }));
}

async function settings() {
  await inVault("AddTagsToVault", { Tags: { project: "M 33", empty: "" } });
  await inVault("RemoveTagsFromVault", { TagKeys: ["empty"] });
  equal("tags", (await inVault("ListTagsForVault")).Tags, { project: "M 33" });
  const vaultNotificationConfig = {
    SNSTopic: `arn:aws:sns:${REGION}:${ACCOUNT}:ready`,
    Events: ["ArchiveRetrievalCompleted"],
  };
  await inVault("SetVaultNotifications", { vaultNotificationConfig });
  equal("notifications", (await inVault("GetVaultNotifications")).vaultNotificationConfig, vaultNotificationConfig);
  await inVault("DeleteVaultNotifications");
  await refused("notifications that were deleted", "ResourceNotFoundException", 404, () =>
    inVault("GetVaultNotifications"));
  const Policy = JSON.stringify({
    Version: "2012-10-17",
    Statement: [{ Sid: "s", Effect: "Deny", Principal: { AWS: "*" }, Action: "glacier:DeleteArchive", Resource: arn }],
  });
  await inVault("SetVaultAccessPolicy", { policy: { Policy } });
  equal("access policy", (await inVault("GetVaultAccessPolicy")).policy.Policy, Policy);
  await inVault("DeleteVaultAccessPolicy");
  await lock(Policy);
}

async function lock(Policy) {
  await inVault("InitiateVaultLock", { policy: { Policy } });
  equal("a lock in progress", (await inVault("GetVaultLock")).State, "InProgress");
  await inVault("AbortVaultLock");
  const of = { vaultName: "js-v3-locked" };
  await call("CreateVault", of);
  const policy = { Policy: Policy.replace(arn, `${arn}-locked`) };
  const { lockId } = await call("InitiateVaultLock", { ...of, policy });
  await call("CompleteVaultLock", { ...of, lockId });
  const found = await call("GetVaultLock", of);
  equal("a lock that is complete", [found.State, found.ExpirationDate], ["Locked", undefined]);
  await refused("aborting it", "AccessDeniedException", 403, () => call("AbortVaultLock", of));
}

async function account() {
  equal("data retrieval policy", (await call("GetDataRetrievalPolicy")).Policy, { Rules: [{ Strategy: "None" }] });
  const Policy = { Rules: [{ Strategy: "BytesPerHour", BytesPerHour: 10737418240 }] };
  await call("SetDataRetrievalPolicy", { Policy });
  equal("data retrieval policy, set", (await call("GetDataRetrievalPolicy")).Policy, Policy);
  await call("SetDataRetrievalPolicy", { Policy: { Rules: [{ Strategy: "FreeTier" }] } });
  await call("SetDataRetrievalPolicy", { Policy: { Rules: [{ Strategy: "None" }] } });
  const { capacityId } = await call("PurchaseProvisionedCapacity");
  const listed = (await call("ListProvisionedCapacity")).ProvisionedCapacityList;
  equal("provisioned capacity", listed.map((unit) => unit.CapacityId), [capacityId]);
}

async function archives() {
  const body = bytesOf(2 * MIB + 5, "single");
  const single = await inVault("UploadArchive", { archiveDescription: "single", body });
  equal("UploadArchive computes the tree hash", single.checksum, treeHash(body));
  await refused("a wrong tree hash", "InvalidParameterValueException", 400, () =>
    inVault("UploadArchive", { body, checksum: "0".repeat(64) }));
  const large = bytesOf(5 * MIB + 77, "multipart");
  const { uploadId } = await inVault("InitiateMultipartUpload", {
    partSize: String(2 * MIB),
    archiveDescription: "parts",
  });
  const starts = [4 * MIB, 0, 2 * MIB];
  const parts = await Promise.all(starts.map((at) => {
    const part = large.subarray(at, at + 2 * MIB);
    const range = `bytes ${at}-${at + part.length - 1}/*`;
    return inVault("UploadMultipartPart", { uploadId, range, body: part });
  }));
  equal("UploadMultipartPart", parts.map((part) => part.checksum),
    starts.map((at) => treeHash(large.subarray(at, at + 2 * MIB))));
  equal("ListMultipartUploads", (await inVault("ListMultipartUploads")).UploadsList.map((u) => u.MultipartUploadId),
    [uploadId]);
  const ranges = [];
  for await (const page of G.paginateListParts({ client: glacier, pageSize: 2 }, { accountId, vaultName, uploadId })) {
    ranges.push(...page.Parts.map((part) => part.RangeInBytes));
  }
  equal("paginateListParts", ranges, ["0-2097151", "2097152-4194303", `4194304-${large.length - 1}`]);
  const made = await inVault("CompleteMultipartUpload", {
    uploadId,
    archiveSize: String(large.length),
    checksum: treeHash(large),
  });
  equal("CompleteMultipartUpload", made.checksum, treeHash(large));
  const other = await inVault("InitiateMultipartUpload", { partSize: String(MIB) });
  await inVault("AbortMultipartUpload", { uploadId: other.uploadId });
  await refused("parts of an aborted upload", "ResourceNotFoundException", 404, () =>
    inVault("ListParts", { uploadId: other.uploadId }));
  return { single: single.archiveId, large: made.archiveId, content: large };
}

async function start(jobParameters) {
  const { jobId } = await inVault("InitiateJob", { jobParameters });
  await waitUntil("a job is ready", async () => (await inVault("DescribeJob", { jobId })).Completed);
  return jobId;
}

async function jobs({ single, large, content }) {
  const jobId = await start({ Type: "archive-retrieval", ArchiveId: large, Tier: "Expedited", Description: "d" });
  const job = await inVault("DescribeJob", { jobId });
  equal("DescribeJob", [job.SHA256TreeHash, job.Tier, job.JobDescription], [treeHash(content), "Expedited", "d"]);
  const output = await inVault("GetJobOutput", { jobId });
  const bytes = Buffer.from(await output.body.transformToByteArray());
  check("GetJobOutput", bytes.equals(content) && output.checksum === treeHash(content), output.checksum);
  const range = await inVault("GetJobOutput", { jobId, range: "bytes=4194304-8388607" });
  equal("GetJobOutput of a range", [range.status, range.contentRange, range.checksum],
    [206, `bytes 4194304-${content.length - 1}/${content.length}`, treeHash(content.subarray(4 * MIB))]);
  await range.body.transformToByteArray();
  equal("ListJobs", (await inVault("ListJobs", { completed: "true" })).JobList.map((found) => found.JobId), [jobId]);
  const inventory = await start({ Type: "inventory-retrieval", Format: "JSON" });
  const found = JSON.parse(await (await inVault("GetJobOutput", { jobId: inventory })).body.transformToString());
  equal("the inventory", found.ArchiveList.map((item) => item.ArchiveId).sort(), [single, large].sort());
  await refused("a status that does not exist", "InvalidParameterValueException", 400, () =>
    inVault("ListJobs", { statuscode: "finished" }));
  for (const archiveId of [single, large]) await inVault("DeleteArchive", { archiveId });
  await inVault("DeleteVault");
  check("DeleteArchive and DeleteVault", true);
}

run(async () => {
  await vaults();
  await settings();
  await account();
  await jobs(await archives());
});
