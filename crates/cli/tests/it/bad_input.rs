//! Input that cannot be right is refused before anything happens, with a message that says what to do.

use crate::sandbox::Sandbox;

fn with_vault(name: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("file", "content");
    sandbox.ok(["vault", "create", name]);
    sandbox
}

#[test]
fn a_missing_path_is_an_error_before_anything_is_sent() {
    let sandbox = with_vault("photos");
    let run = sandbox.run(["upload", "photos", "file", "no/such/file"]);
    assert!(matches!(run.code, Some(1 | 2)), "{run}");
    run.says("no/such/file").says("cannot be found");
    assert_eq!(sandbox.holds("photos"), (0, 0));
}

#[test]
fn a_vault_that_does_not_exist_is_named_with_the_nearest_one() {
    let sandbox = with_vault("photos");
    for arguments in [
        &["upload", "phtoos", "file"][..],
        &["list", "phtoos"],
        &["retrieve", "phtoos"],
        &["vault", "describe", "phtoos"],
        &["uploads", "list", "phtoos"],
        &["job", "list", "phtoos"],
        &["inventory", "refresh", "phtoos"],
        &["verify", "phtoos", "file"],
        &["delete", "phtoos", "file", "--yes"],
        &["vault", "purge", "phtoos", "--yes"],
    ] {
        sandbox.fails(1, arguments).says("no vault `phtoos`").says("did you mean `photos`");
    }
    sandbox.fails(1, ["upload", "phtoos", "file"]).says("--create");
}

#[test]
fn without_a_store_the_message_says_how_to_begin() {
    let sandbox = Sandbox::new();
    sandbox.write("file", "content");
    sandbox.fails(1, ["list", "photos"]).says("icefield");
    sandbox.fails(1, ["upload", "photos", "file"]).says("--create");
    assert!(!sandbox.store().exists(), "a refused command made a store");
}

#[test]
fn a_bad_vault_name_is_wrong_usage() {
    let sandbox = Sandbox::new();
    sandbox.write("file", "content");
    for name in ["a b", "a/b", "f\u{e9}", "", &"v".repeat(256)] {
        let run = sandbox.fails(2, ["upload", "--create", name, "file"]);
        assert!(run.stderr.contains("vault"), "{run}");
    }
    sandbox.fails(2, ["vault", "create", ":photos"]).says("target");
    assert!(!sandbox.store().exists());
}

#[test]
fn a_bad_part_size_is_wrong_usage_and_good_ones_are_shown() {
    let sandbox = with_vault("photos");
    for size in ["3MiB", "512KiB", "8GiB", "0", "1000000"] {
        sandbox.fails(2, ["upload", "photos", "file", "--part-size", size]).says("power of two");
    }
    sandbox.fails(2, ["upload", "photos", "file", "--part-size", "many"]).says("64MiB");
    assert_eq!(sandbox.holds("photos").0, 0);
}

#[test]
fn a_description_that_cannot_be_sent_is_wrong_usage() {
    let sandbox = with_vault("photos");
    let long = "x".repeat(1025);
    sandbox
        .fails(2, ["upload", "photos", "file", "--description", &long])
        .says("1024")
        .says("1025");
    sandbox.fails(2, ["upload", "photos", "file", "--description", "f\u{e9}"]).says("ASCII");
    sandbox.fails(2, ["upload", "photos", "file", "--description", "a\nb"]).says("ASCII");
    assert_eq!(sandbox.holds("photos").0, 0);
    let longest = "x".repeat(1024);
    sandbox.ok(["upload", "photos", "file", "--description", &longest]);
    assert_eq!(sandbox.json(["list", "photos", "file"])[0]["description"], longest);
}

#[test]
fn unknown_words_and_contradictions_are_wrong_usage() {
    let sandbox = Sandbox::new();
    sandbox.fails(2, ["uplaod", "v", "file"]).says("upload");
    sandbox.fails(2, ["upload", "v", "file", "--no-such-option"]);
    sandbox.fails(2, ["upload", "v"]);
    sandbox.fails(2, ["upload"]);
    sandbox.fails(2, ["list", "v", "--output", "xml"]).says("jsonl");
    sandbox.fails(2, ["list", "--quiet", "--verbose", "v"]);
    sandbox.fails(2, ["--target", "here", "list", "there:v"]).says("two targets");
    sandbox.fails(2, ["list", "nowhere:v"]).says("no target named `nowhere`").says("embedded");
    sandbox.fails(2, ["--region", "us-east-1", "list", "v"]).says("--region");
    sandbox.fails(2, ["upload", "--create", "v", "-"]).says("--name");
}

#[test]
fn a_configuration_with_an_unknown_key_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("config.toml", "default_tarket = \"home\"\n");
    sandbox
        .fails(2, ["--config", "config.toml", "vault", "list"])
        .says("config.toml")
        .says("default_tarket");
    sandbox.write("config.toml", "[target.home]\ntype = \"embedded\"\npth = \"x\"\n");
    sandbox.fails(2, ["--config", "config.toml", "vault", "list"]).says("pth");
    sandbox.fails(2, ["--config", "missing.toml", "vault", "list"]).says("missing.toml");
}

#[test]
fn a_target_without_a_region_is_not_guessed_one() {
    let sandbox = Sandbox::new();
    sandbox.fails(2, ["list", "aws:photos"]).says("no region is named").says("--region");
    assert!(!sandbox.store().exists());
}

#[test]
fn two_arguments_of_one_name_are_refused() {
    let sandbox = with_vault("photos");
    sandbox.write("one/same", "1");
    sandbox.write("two/same", "2");
    let run = sandbox.run(["upload", "photos", "one/same", "two/same"]);
    assert!(matches!(run.code, Some(1 | 2)), "{run}");
    run.says("one/same").says("two/same").says("--prefix");
    assert_eq!(sandbox.holds("photos").0, 0);
}

#[test]
fn a_pattern_that_matches_nothing_names_the_nearest_file() {
    let sandbox = with_vault("photos");
    sandbox.write("moon.fit", "moon");
    sandbox.ok(["upload", "photos", "moon.fit"]);
    for command in ["list", "retrieve", "delete"] {
        let arguments = [command, "photos", "mon.fit", "--yes"];
        sandbox.fails(1, arguments).says("mon.fit").says("did you mean `moon.fit`");
    }
}

#[test]
fn a_folder_that_is_no_store_is_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.write("file", "content");
    std::fs::create_dir(sandbox.store()).unwrap();
    std::fs::write(sandbox.store().join("diary.txt"), "mine").unwrap();
    sandbox.fails(1, ["upload", "--create", "v", "file"]).says("not an icefield store");
    assert_eq!(crate::trees::files(sandbox.store()), [sandbox.store().join("diary.txt")]);
}
