//! The same on s3s-fs, which keeps objects as files and knows only STANDARD, no tags and no parts of an upload.

use icefield_client::{Target as _, target::StorageClass};
use icefield_protocol::{JobRequest, Tier};
use tokio::net::TcpListener;

use super::{
    MIB, all, body,
    bucket::{SECRET_KEY, serve},
    bytes, clock, new, target, vault,
};

#[tokio::test]
async fn archives_are_stored_once_listed_read_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("cold")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    serve(listener, s3s_fs::FileSystem::new(folder.path()).unwrap());
    let target = target(&endpoint, SECRET_KEY, StorageClass::Standard, &clock());

    let (content, changed) = (bytes(1, 3 * MIB), bytes(2, 100));
    let put = async |token, bytes| {
        let new = new("a/é b.mov", token);
        target.upload_archive(&vault(), &new, &body(bytes)).await.unwrap().archive
    };
    let first = put(1, &content).await;
    assert_eq!(put(1, &content).await, first);
    let newer = put(2, &changed).await;
    assert_ne!(newer, first);
    assert_eq!(target.describe_vault(&vault()).await.unwrap().number_of_archives, 2);
    for (archive, content) in [(&first, &content), (&newer, &changed)] {
        let request = JobRequest::Archive {
            archive: archive.clone(),
            range: None,
            tier: Tier::Standard,
            description: None,
            sns_topic: None,
        };
        let job = target.initiate_job(&vault(), &request).await.unwrap();
        let output = target.job_output(&vault(), &job, None).await.unwrap();
        assert_eq!(all(output).await.unwrap(), *content);
        target.delete_archive(&vault(), archive).await.unwrap();
    }
    assert!(target.describe_vault(&vault()).await.unwrap_err().is_not_found());
}
