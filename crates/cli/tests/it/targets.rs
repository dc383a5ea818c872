//! `target add|list|remove|test`, and vaults of other targets.

use crate::sandbox::Sandbox;

#[test]
fn a_target_is_added_used_and_forgotten() {
    let sandbox = Sandbox::new();
    sandbox.write("file", "content");
    sandbox.ok(["target", "add", "nas", "--type", "embedded", "--path", "nas-store"]);
    sandbox.ok(["upload", "--create", "nas:frames", "file"]);
    sandbox.ok(["target", "test", "nas"]);
    sandbox.ok(["target", "test", "nas:"]);
    assert!(sandbox.path("nas-store").is_dir());
    assert!(!sandbox.store().exists(), "the default store was made for another target's vault");
    assert_eq!(sandbox.listed_paths(["list", "nas:frames"]), ["file"]);
    assert_eq!(sandbox.listed_paths(["--target", "nas", "list", "frames"]), ["file"]);
    assert_eq!(sandbox.json(["vault", "list", "nas:"])[0]["vault"], "frames");

    let targets = sandbox.json(["target", "list"]);
    let names: Vec<_> =
        targets.as_array().unwrap().iter().map(|target| target["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["aws", "embedded", "nas"]);

    sandbox.ok(["target", "remove", "nas", "--yes"]);
    sandbox.fails(2, ["list", "nas:frames"]).says("no target named `nas`");
    assert!(sandbox.path("nas-store").is_dir(), "the store itself was touched");
}

#[test]
fn a_relative_store_is_found_from_everywhere() {
    let sandbox = Sandbox::new();
    sandbox.write("file", "content");
    sandbox.write("elsewhere/file", "content");
    sandbox.ok(["target", "add", "nas", "--type", "embedded", "--path", "nas-store"]);
    sandbox.ok(["upload", "--create", "nas:frames", "file"]);
    let mut command = sandbox.command(["list", "nas:frames", "--output", "json"]);
    command.current_dir(sandbox.path("elsewhere"));
    let run = crate::process::Watched::start(command).finish().ended(0);
    assert_eq!(run.json()[0]["path"], "file");
}

#[test]
fn the_default_target_is_that_of_option_environment_and_file() {
    let sandbox = Sandbox::new();
    for name in ["one", "two"] {
        sandbox.ok(["target", "add", name, "--type", "embedded", "--path", name]);
        sandbox.ok(["vault", "create", &format!("{name}:in-{name}")]);
    }
    sandbox.ok(["target", "add", "three", "--type", "embedded", "--path", "one", "--default"]);
    let first =
        |run: crate::sandbox::Run| run.ended(0).json()[0]["vault"].as_str().unwrap().to_owned();
    assert_eq!(first(sandbox.run(["vault", "list", "--output", "json"])), "in-one");
    let mut command = sandbox.command(["vault", "list", "--output", "json"]);
    command.env("ICEFIELD_TARGET", "two");
    assert_eq!(first(crate::process::Watched::start(command).finish()), "in-two");
    let mut command = sandbox.command(["vault", "list", "--output", "json", "--target", "one"]);
    command.env("ICEFIELD_TARGET", "two");
    assert_eq!(first(crate::process::Watched::start(command).finish()), "in-one");
}

#[test]
fn the_same_store_under_two_names_is_one_place() {
    let sandbox = Sandbox::new();
    sandbox.write("file", "content");
    for name in ["one", "other"] {
        sandbox.ok(["target", "add", name, "--type", "embedded", "--path", "shared"]);
    }
    sandbox.ok(["upload", "--create", "one:v", "file"]);
    assert_eq!(sandbox.listed_paths(["list", "other:v"]), ["file"]);
    sandbox.ok(["upload", "other:v", "file"]);
    assert_eq!(sandbox.holds("one:v").0, 1);
}

#[test]
fn wrong_targets_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.ok(["target", "add", "nas", "--type", "embedded", "--path", "a"]);
    sandbox
        .fails(2, ["target", "add", "nas", "--type", "embedded", "--path", "b"])
        .says("target remove nas");
    sandbox.fails(2, ["target", "add", "a:b", "--type", "embedded", "--path", "b"]);
    sandbox.fails(2, ["target", "add", "x", "--type", "floppy"]).says("embedded");
    sandbox.fails(2, ["target", "add", "x", "--type", "embedded"]).says("--path");
    sandbox.fails(2, ["target", "remove", "embedded", "--yes"]).says("without configuration");
    sandbox.fails(2, ["target", "remove", "unknown", "--yes"]).says("unknown");
    sandbox.run(["target", "test", "nas"]);
    assert!(!sandbox.path("a").exists(), "a test made a store");
}

#[test]
fn comments_and_order_of_the_configuration_stay() {
    let sandbox = Sandbox::new();
    let written = "# mine\ndefault_target = \"home\"\n\n[target.home] # at home\ntype = \"embedded\"\npath = \"/srv/cold\"\n";
    sandbox.write("config.toml", written);
    sandbox.ok([
        "--config",
        "config.toml",
        "target",
        "add",
        "nas",
        "--type",
        "embedded",
        "--path",
        "nas",
    ]);
    let now = String::from_utf8(sandbox.read("config.toml")).unwrap();
    assert!(now.starts_with(written), "{now}");
    sandbox.ok(["--config", "config.toml", "target", "remove", "nas", "--yes"]);
    let now = String::from_utf8(sandbox.read("config.toml")).unwrap();
    assert_eq!(now.trim_end(), written.trim_end());
}
