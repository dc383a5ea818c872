//! A survey and the upload after it agree.

use std::fs;

use super::{Bench, MIB, content, options, set_modified};
use crate::{
    target::Limits,
    transfer::{
        estimate::Workload,
        upload::{SurveyOptions, Surveyed, UploadOptions, survey},
    },
    walk::Selection,
};

impl Bench {
    fn survey(&self, options: &UploadOptions) -> (Workload, Surveyed) {
        let UploadOptions { part_size, force, checksum, .. } = *options;
        let limits = Limits::of_vaults();
        let options = SurveyOptions { part_size, force, checksum, limits };
        let (roots, selection) = (self.roots(), Selection::default());
        let mut work = Workload::default();
        let mut add = |size, plan: &_| work.add(size, plan);
        let found =
            survey(&self.catalog, self.vault(), (&roots, &selection), options, &mut add).unwrap();
        (work, found)
    }
}

#[tokio::test]
async fn a_survey_counts_what_the_upload_then_sends() {
    let bench = Bench::new();
    bench.write("large", &content(3 * MIB + 1, 1));
    for number in 0..300 {
        bench.write(&format!("many/{number}"), &content(100 + number, 2));
    }
    fs::write(bench.path("empty"), "").unwrap();
    let (work, found) = bench.survey(&options());
    assert_eq!((work.files, work.parts, work.requests), (301, 304, 306));
    assert_eq!(found, Surveyed { unchanged: 0, noted: 3 }, "two folders and an empty file");
    let report = bench.run_well().await;
    assert_eq!(report.uploaded, work.files);
    let sent = work.bytes..work.bytes + 1000;
    assert!(sent.contains(&report.bytes), "{} bytes: the manifest comes on top", report.bytes);

    let (work, found) = bench.survey(&options());
    assert_eq!(work, Workload::default());
    assert_eq!(found, Surveyed { unchanged: 302, noted: 0 });
    bench.write("many/7", &content(500, 3));
    set_modified(&bench.path("many/8"), 7);
    let (work, found) = bench.survey(&options());
    assert_eq!((work.files, work.bytes), (2, 500 + 108), "what has a new time has to be read");
    assert_eq!(found.unchanged, 300);
    let (work, _) = bench.survey(&UploadOptions { force: true, ..options() });
    assert_eq!(work.files, 301);
}
