//! The same against moto's server, whose S3 somebody else wrote.
//!
//! moto has the restore of a Glacier object done at once, and a second one answered with 200. It lists the parts of an upload
//! under a name that the SDK does not take, so archives in parts are not for it.

use std::{
    env,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use icefield_client::{Target as _, target::StorageClass};
use icefield_protocol::{ByteRange, JobStatus, Tier};

use super::{MIB, all, body, bucket::SECRET_KEY, bytes, client, clock, new, target, vault};

/// Serves until its standard input ends, which it does with the test.
const SERVER: &str = "
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
server.start()
print('http://%s:%d' % server.get_host_and_port(), flush=True)
sys.stdin.read()
";

struct Moto {
    process: Child,
    endpoint: String,
}

impl Moto {
    /// Starts it, if there is a Python that has it.
    fn start() -> Option<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "which clients and servers of other people are there is the environment's to say"
        )]
        let Some(python) = env::var_os("ICEFIELD_PYTHON") else {
            eprintln!("SKIPPED: ICEFIELD_PYTHON is not set, `cargo xtask tools` provides it");
            return None;
        };
        let mut process = Command::new(python)
            .args(["-c", SERVER])
            .env("NO_PROXY", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut endpoint = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut endpoint).unwrap();
        Some(Self { process, endpoint: endpoint.trim().to_owned() })
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[tokio::test]
async fn moto_stores_restores_and_lists() {
    let Some(moto) = Moto::start() else { return };
    client(&moto.endpoint, SECRET_KEY).create_bucket().bucket("cold").send().await.unwrap();
    for class in [StorageClass::FlexibleRetrieval, StorageClass::DeepArchive] {
        let target = target(&moto.endpoint, SECRET_KEY, class, &clock());
        target.create_vault(&vault()).await.unwrap();
        let path = format!("{class:?}/é b");
        let (content, changed) = (bytes(1, 3 * MIB), bytes(2, 100));
        let first =
            target.upload_archive(&vault(), &new(&*path, 1), &body(&content)).await.unwrap();
        let again =
            target.upload_archive(&vault(), &new(&*path, 1), &body(&content)).await.unwrap();
        assert_eq!(again, first);
        let newer =
            target.upload_archive(&vault(), &new(&*path, 2), &body(&changed)).await.unwrap();
        assert_ne!(newer.archive, first.archive);

        let request = icefield_protocol::JobRequest::Archive {
            archive: first.archive.clone(),
            range: None,
            tier: Tier::Bulk,
            description: None,
            sns_topic: None,
        };
        let job = target.initiate_job(&vault(), &request).await.unwrap();
        target.initiate_job(&vault(), &request).await.unwrap();
        let described = target.describe_job(&vault(), &job).await.unwrap();
        assert_eq!(described.status_code, JobStatus::Succeeded, "{described:?}");
        assert_eq!(described.tree_hash, Some(first.tree_hash));
        let range = ByteRange { first: MIB, last: 2 * MIB - 1 };
        let output = target.job_output(&vault(), &job, Some(range)).await.unwrap();
        assert_eq!(all(output).await.unwrap(), content.slice(1 << 20..2 << 20));
        let vaults = target.list_vaults(None).await.unwrap().items;
        assert_eq!(vaults[0].number_of_archives, 2);
        for archive in [first.archive, newer.archive] {
            target.delete_archive(&vault(), &archive).await.unwrap();
        }
        target.delete_vault(&vault()).await.unwrap();
    }
}
