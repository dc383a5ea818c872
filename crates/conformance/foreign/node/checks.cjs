// What both scripts of this folder need: one line for each check, and an end at the first failure.
"use strict";

const { createHash } = require("crypto");
const { isDeepStrictEqual, inspect } = require("util");

const MIB = 1024 * 1024;

function check(what, holds, detail) {
  if (!holds) {
    console.log(`FAILED ${what}: ${inspect(detail)}`);
    process.exit(1);
  }
  console.log(`ok ${what}`);
}

function equal(what, found, expected) {
  check(what, isDeepStrictEqual(found, expected), { found, expected });
}

/** Checks that a call is refused with this code and status. Both SDKs name the code differently. */
async function refused(what, code, status, call) {
  try {
    await call();
  } catch (error) {
    const found = error.code ?? error.name;
    equal(what, [found, error.statusCode ?? error.$metadata?.httpStatusCode], [code, status]);
    return;
  }
  check(what, false, "it was not refused");
}

const sha256 = (bytes) => createHash("sha256").update(bytes).digest();

/** Returns the tree hash of a buffer by its definition, level by level. */
function treeHash(data) {
  let level = [];
  for (let at = 0; at < Math.max(data.length, 1); at += MIB) level.push(sha256(data.subarray(at, at + MIB)));
  while (level.length > 1) {
    const above = [];
    for (let at = 0; at < level.length; at += 2) {
      above.push(at + 1 < level.length ? sha256(Buffer.concat([level[at], level[at + 1]])) : level[at]);
    }
    level = above;
  }
  return level[0].toString("hex");
}

/** Returns bytes that do not repeat and are the same for the same seed. */
function bytesOf(size, seed) {
  return createHash("shake128", { outputLength: size }).update(seed).digest();
}

/** Asks again until `done` returns something true, for at most a minute, and returns that. */
async function waitUntil(what, done) {
  for (let attempt = 0; attempt < 600; attempt++) {
    const found = await done();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return check(what, false, "not within a minute");
}

/** Runs a script's main function; an error that it did not expect is a failure. */
function run(main) {
  main().catch((error) => {
    console.log(`FAILED ${error.stack ?? error}`, error.$metadata ?? "");
    process.exit(1);
  });
}

module.exports = {
  MIB,
  ACCOUNT: process.env.ICEFIELD_ACCOUNT,
  REGION: process.env.AWS_DEFAULT_REGION,
  ENDPOINT: process.env.ICEFIELD_ENDPOINT,
  check,
  equal,
  refused,
  treeHash,
  bytesOf,
  waitUntil,
  run,
};
