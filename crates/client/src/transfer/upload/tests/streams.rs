use std::io::{self, Cursor, Read};

use super::{
    Bench, MIB, content,
    memory::{Step, Verdict},
    options,
};
use crate::{
    path::CatalogPath,
    target::TargetError,
    transfer::{UploadError, UploadReport, upload_stream},
};

async fn send(bench: &Bench, reader: impl Read + Send + 'static) -> UploadReport {
    let path = CatalogPath::parse("backup.tar").unwrap();
    upload_stream(bench.context(), options(), path, Box::new(reader), &mut |_| {}).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_any_length_become_one_archive() {
    for length in [1, MIB, MIB + 1, 5 * MIB] {
        let bench = Bench::new();
        let bytes = content(length, 1);
        let report = send(&bench, Cursor::new(bytes.clone())).await;
        assert_eq!((report.uploaded, report.failed, report.manifest), (1, 0, None));
        assert!(bench.target.contents() == [bytes]);
        let entry = bench.newest("backup.tar").unwrap();
        assert_eq!(entry.size, length as u64);
        assert!(bench.target.state.lock().unwrap().uploads.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_stream_is_an_empty_file() {
    let bench = Bench::new();
    let report = send(&bench, io::empty()).await;
    assert_eq!((report.uploaded, report.noted), (0, 1));
    assert!(bench.newest("backup.tar").unwrap().manifest.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_leaves_nothing_behind() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the pipe burst"))
        }
    }
    let bench = Bench::new();
    let report = send(&bench, Cursor::new(content(3 * MIB, 1)).chain(Broken)).await;
    assert!(matches!(report.stopped, Some(UploadError::Stream(_))), "{report:?}");
    let bench_full = Bench::new();
    let mut parts = 0;
    bench_full.target.hook(move |step| {
        parts += i32::from(step == Step::Before("upload_part"));
        if parts < 3 {
            Verdict::GoOn
        } else {
            Verdict::Fail(TargetError::Full { what: "x".into() })
        }
    });
    let report = send(&bench_full, Cursor::new(content(5 * MIB, 1))).await;
    assert!(matches!(report.stopped, Some(UploadError::Target { .. })), "{report:?}");
    for bench in [bench, bench_full] {
        assert!(bench.target.contents().is_empty());
        assert!(bench.target.state.lock().unwrap().uploads.is_empty());
        assert!(bench.newest("backup.tar").is_none());
    }
}
