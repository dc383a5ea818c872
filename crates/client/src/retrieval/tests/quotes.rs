//! What is priced is what would be asked for.

use icefield_protocol::ByteRange;

use super::{Scene, bytes};
use crate::{
    pattern::Pattern,
    retrieval::{Quote, RetrieveOptions, plan, quote},
};

async fn quoted(scene: &Scene, options: &RetrieveOptions) -> Quote {
    let plan = plan(&scene.context, options).await.unwrap();
    quote(&scene.context, &plan.files).await.unwrap()
}

#[tokio::test]
async fn a_job_that_an_earlier_run_has_started_is_not_quoted_again() {
    let scene = Scene::new();
    scene.archived("a", "first", bytes(5));
    scene.archived("b", "second", bytes(3 << 20));
    let options = RetrieveOptions { no_wait: true, ..scene.options() };
    let first = quoted(&scene, &options).await;
    assert_eq!(first, Quote { jobs: vec![5, 3 << 20], reads: vec![5, 3 << 20], unknown: 0 });
    assert_eq!(scene.shelf.state().initiated, 0, "a quote starts nothing");

    scene.shelf.state().slow = true;
    scene.run(&options).await.unwrap();
    assert_eq!(scene.shelf.state().initiated, 2);
    let second = quoted(&scene, &options).await;
    assert_eq!(second, Quote { jobs: vec![], ..first.clone() }, "only the transfer is left");

    // Another range is another job, widened to what can be verified.
    let range = Some(ByteRange { first: (1 << 20) + 7, last: (1 << 20) + 8 });
    let patterns = vec![Pattern::parse("b").unwrap()];
    let part = quoted(&scene, &RetrieveOptions { range, patterns, ..options.clone() }).await;
    assert_eq!(part, Quote { jobs: vec![1 << 20], reads: vec![1 << 20], unknown: 0 });

    // When their output has expired they have to be started, and paid for, again.
    scene.shelf.state().jobs.clear();
    assert_eq!(quoted(&scene, &options).await, first);
}

#[tokio::test]
async fn one_archive_under_two_names_is_one_job() {
    let scene = Scene::new();
    let archive = scene.archived("a", "one", bytes(7));
    let mut other = super::entry("b", crate::catalog::Kind::File);
    other.archive = Some(archive);
    scene.record(&[other]);
    let quote = quoted(&scene, &scene.options()).await;
    assert_eq!(quote, Quote { jobs: vec![7], reads: vec![7, 0], unknown: 1 });
}
