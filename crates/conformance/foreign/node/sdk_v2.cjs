// AWS SDK for JavaScript, version 2, unmodified. It computes both hashes of a body itself, and sends
// `{}` as the body of each request that has none of its own.
"use strict";

const Glacier = require("aws-sdk/clients/glacier");
const { ACCOUNT, ENDPOINT, MIB, REGION, bytesOf, check, equal, refused, run, treeHash, waitUntil } =
  require("./checks.cjs");

const vaultName = "js-v2";
const accountId = "-";
const glacier = new Glacier({ endpoint: ENDPOINT, region: REGION, maxRetries: 0, params: { accountId } });
const arn = `arn:aws:glacier:${REGION}:${ACCOUNT}:vaults/${vaultName}`;

/** Sends one operation by its name. */
const call = (operation, parameters) => glacier[operation](parameters ?? {}).promise();
const inVault = (operation, parameters) => call(operation, { vaultName, ...parameters });

async function vaults() {
  equal("createVault, with {} as its body", (await inVault("createVault")).location,
    `/${ACCOUNT}/vaults/${vaultName}`);
  equal("describeVault", (await inVault("describeVault")).VaultARN, arn);
  equal("listVaults", (await call("listVaults")).VaultList.map((found) => found.VaultName), [vaultName]);
  equal("waitFor vaultExists", (await glacier.waitFor("vaultExists", { vaultName }).promise()).VaultName, vaultName);
  await refused("a vault that is not there", "ResourceNotFoundException", 404, () =>
    call("describeVault", { vaultName: "no-such-vault" }));
  await inVault("addTagsToVault", { Tags: { a: "b" } });
  equal("tags", (await inVault("listTagsForVault")).Tags, { a: "b" });
  await inVault("removeTagsFromVault", { TagKeys: ["a"] });
}

async function lockAndCapacity() {
  const Policy = JSON.stringify({
    Version: "2012-10-17",
    Statement: [{ Sid: "s", Effect: "Deny", Principal: { AWS: "*" }, Action: "glacier:DeleteArchive", Resource: arn }],
  }).replace(arn, `${arn}-locked`);
  const of = { vaultName: `${vaultName}-locked` };
  await call("createVault", of);
  const { lockId } = await call("initiateVaultLock", { ...of, policy: { Policy } });
  await call("completeVaultLock", { ...of, lockId });
  equal("completeVaultLock, with {} as its body", (await call("getVaultLock", of)).State, "Locked");
  const { capacityId } = await call("purchaseProvisionedCapacity");
  equal("purchaseProvisionedCapacity, with {} as its body",
    (await call("listProvisionedCapacity")).ProvisionedCapacityList.map((unit) => unit.CapacityId), [capacityId]);
}

async function archives() {
  const body = bytesOf(3 * MIB + 1, "single");
  equal("computeChecksums", glacier.computeChecksums(body).treeHash, treeHash(body));
  const single = await inVault("uploadArchive", { body, archiveDescription: "single" });
  equal("uploadArchive", single.checksum, treeHash(body));
  await refused("a wrong tree hash", "InvalidParameterValueException", 400, () =>
    inVault("uploadArchive", { body, checksum: "0".repeat(64) }));
  const large = bytesOf(2 * MIB + 9, "multipart");
  const { uploadId } = await inVault("initiateMultipartUpload", { partSize: String(MIB) });
  check("initiateMultipartUpload, with {} as its body", uploadId.length === 92, uploadId);
  await Promise.all([0, 1, 2].map((part) => {
    const bytes = large.subarray(part * MIB, (part + 1) * MIB);
    const range = `bytes ${part * MIB}-${part * MIB + bytes.length - 1}/*`;
    return inVault("uploadMultipartPart", { uploadId, range, body: bytes });
  }));
  const made = await inVault("completeMultipartUpload", {
    uploadId,
    archiveSize: String(large.length),
    checksum: glacier.computeChecksums(large).treeHash,
  });
  equal("completeMultipartUpload, with {} as its body", made.checksum, treeHash(large));
  return { single: single.archiveId, large: made.archiveId, content: large };
}

async function start(jobParameters) {
  const { jobId } = await inVault("initiateJob", { jobParameters });
  await waitUntil("a job is ready", async () => (await inVault("describeJob", { jobId })).Completed);
  return jobId;
}

async function jobs({ single, large, content }) {
  const jobId = await start({ Type: "archive-retrieval", ArchiveId: large, Description: "d" });
  const output = await inVault("getJobOutput", { jobId });
  check("getJobOutput", output.body.equals(content) && output.checksum === treeHash(content), output.checksum);
  const range = await inVault("getJobOutput", { jobId, range: `bytes=${MIB}-${2 * MIB - 1}` });
  equal("getJobOutput of a range", [range.status, range.checksum], [206, treeHash(content.subarray(MIB, 2 * MIB))]);
  const inventory = await start({ Type: "inventory-retrieval" });
  const found = JSON.parse((await inVault("getJobOutput", { jobId: inventory })).body.toString());
  equal("the inventory", found.ArchiveList.map((item) => item.ArchiveId).sort(), [single, large].sort());
  equal("listJobs", (await inVault("listJobs", { statuscode: "Succeeded" })).JobList.length, 2);
  for (const archiveId of [single, large]) await inVault("deleteArchive", { archiveId });
  await inVault("deleteVault");
  await refused("a vault that was deleted", "ResourceNotFoundException", 404, () => inVault("describeVault"));
}

run(async () => {
  await vaults();
  await lockAndCapacity();
  await jobs(await archives());
});
