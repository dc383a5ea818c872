//! `job start|describe|list|output`.

use crate::{sandbox::Sandbox, trees::noise};

fn archived() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    sandbox.write("big", noise(3 << 20, 1));
    sandbox.ok(["upload", "--create", "v", "big"]);
    let id = sandbox.list("v")[0]["archive_id"].as_str().unwrap().to_owned();
    (sandbox, id)
}

#[test]
fn an_archive_is_retrieved_by_a_job() {
    let (sandbox, id) = archived();
    let job = sandbox.json([
        "job",
        "start",
        "v",
        "--archive-id",
        &id,
        "--description",
        "for Anna",
        "--tier",
        "bulk",
        "--topic",
        "ready",
    ]);
    assert_eq!(job["action"], "archive-retrieval");
    assert_eq!(job["archive_id"], id);
    assert_eq!(job["description"], "for Anna");
    assert_eq!(job["tier"], "bulk");
    let job_id = job["job_id"].as_str().unwrap();
    let described = sandbox.json(["job", "describe", "v", job_id]);
    assert_eq!(described["status"], "succeeded", "the embedded store has no delays");
    assert_eq!(sandbox.json(["job", "list", "v"])[0]["job_id"], job["job_id"]);
    assert_eq!(sandbox.ok(["job", "output", "v", job_id]).stdout, sandbox.read("big"));
    let part = sandbox.ok(["job", "output", "v", job_id, "--range", "1048576-2097151"]);
    assert!(part.stdout == sandbox.read("big")[1 << 20..2 << 20]);
    sandbox.ok(["job", "output", "v", job_id, "--to", "out"]);
    assert_eq!(sandbox.read("out"), sandbox.read("big"));
    sandbox.fails(1, ["job", "output", "v", job_id, "--to", "out"]).says("out");
}

#[test]
fn a_part_of_an_archive_is_retrieved_by_a_job() {
    let (sandbox, id) = archived();
    let job =
        sandbox.json(["job", "start", "v", "--archive-id", &id, "--range", "1048576-2097151"]);
    let output = sandbox.ok(["job", "output", "v", job["job_id"].as_str().unwrap()]);
    assert!(output.stdout == sandbox.read("big")[1 << 20..2 << 20]);
    let run = sandbox.run(["job", "start", "v", "--archive-id", &id, "--range", "1-5"]);
    assert!(matches!(run.code, Some(1 | 2)), "{run}");
}

#[test]
fn the_inventory_of_a_vault_is_retrieved_by_a_job() {
    let (sandbox, id) = archived();
    let job = sandbox.json(["job", "start", "v", "--inventory"]);
    let output = sandbox.ok(["job", "output", "v", job["job_id"].as_str().unwrap()]);
    let inventory = output.json();
    assert_eq!(inventory["ArchiveList"][0]["ArchiveId"], id);
    assert_eq!(inventory["ArchiveList"][0]["Size"], 3 << 20);
    let job = sandbox.json(["job", "start", "v", "--inventory", "--format", "csv"]);
    let output = sandbox.ok(["job", "output", "v", job["job_id"].as_str().unwrap()]);
    assert!(
        output.text().starts_with("ArchiveId,ArchiveDescription,CreationDate,Size,SHA256TreeHash"),
        "{output}"
    );
    assert!(output.text().contains(&id));
}

#[test]
fn an_id_may_begin_with_a_dash() {
    let (sandbox, _) = archived();
    let strange = format!("-{}", "x".repeat(91));
    for arguments in [
        vec!["job", "describe", "v", &strange],
        vec!["job", "output", "v", &strange],
        vec!["uploads", "parts", "v", &strange],
        vec!["uploads", "abort", "v", &strange, "--yes"],
    ] {
        let run = sandbox.fails(1, &arguments);
        assert!(run.stderr.contains(&strange), "{run}");
    }
}

#[test]
fn a_job_needs_to_know_what_to_retrieve() {
    let (sandbox, id) = archived();
    sandbox.fails(2, ["job", "start", "v"]).says("--archive-id");
    sandbox.fails(2, ["job", "start", "v", "--inventory", "--archive-id", &id]);
    let unknown = "x".repeat(138);
    sandbox.fails(1, ["job", "start", "v", "--archive-id", &unknown]).says("not found");
}
