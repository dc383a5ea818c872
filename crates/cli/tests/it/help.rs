//! What the program says about itself.

use crate::sandbox::Sandbox;

/// Each command and words that its help has to have.
const COMMANDS: [(&[&str], &[&str]); 56] = [
    (
        &["upload"],
        &[
            "--name",
            "--force",
            "--checksum",
            "--create",
            "--description",
            "--describe",
            "mt2",
            "--prefix",
            "--part-size",
            "--concurrency",
            "--include",
            "--exclude",
            "--files-from",
            "--limit-rate",
            "--estimate-rate",
            "--inventory",
            "put",
            ".icefieldignore",
        ],
    ),
    (&["list"], &["--versions", "PATTERN"]),
    (
        &["retrieve"],
        &[
            "--to",
            "--archive-id",
            "--from",
            "--as-of",
            "--tier",
            "--range",
            "--max-cost",
            "--max-rate",
            "--no-wait",
            "--overwrite",
            "standard",
        ],
    ),
    (&["delete"], &["--archive-id", "PATTERN"]),
    (&["duplicates"], &["VAULT", "PATTERN"]),
    (&["verify"], &["PATH", "--refresh"]),
    (&["status"], &[]),
    (&["inventory"], &["refresh", "show", "export", "import"]),
    (&["inventory", "refresh"], &["VAULT"]),
    (&["inventory", "show"], &["VAULT"]),
    (&["inventory", "export"], &["VAULT", "FILE", "mtglacier-journal", "powershell"]),
    (&["inventory", "import"], &["VAULT", "FILE", "mtglacier", "glacier-cli", "Synology"]),
    (&["uploads"], &["list", "parts", "abort"]),
    (&["uploads", "list"], &["VAULT", "--sizes"]),
    (&["uploads", "parts"], &["VAULT", "UPLOAD_ID"]),
    (&["uploads", "abort"], &["VAULT", "UPLOAD_ID", "--older-than", "--all"]),
    (
        &["vault"],
        &[
            "create", "list", "describe", "delete", "purge", "tag", "untag", "tags", "policy",
            "lock", "notify",
        ],
    ),
    (&["vault", "create"], &["VAULT"]),
    (&["vault", "list"], &["TARGET:"]),
    (&["vault", "describe"], &["VAULT"]),
    (&["vault", "delete"], &["VAULT"]),
    (&["vault", "purge"], &["VAULT", "--no-wait", "75", "Examples"]),
    (&["vault", "tag"], &["VAULT", "KEY=VALUE", "Examples"]),
    (&["vault", "untag"], &["VAULT", "KEY"]),
    (&["vault", "tags"], &["VAULT"]),
    (&["vault", "policy"], &["get", "set", "remove", "Examples"]),
    (&["vault", "policy", "get"], &["VAULT"]),
    (&["vault", "policy", "set"], &["VAULT", "FILE", "20,480"]),
    (&["vault", "policy", "remove"], &["VAULT"]),
    (&["vault", "lock"], &["start", "complete", "abort", "show", "CANNOT BE UNDONE", "Example"]),
    (&["vault", "lock", "start"], &["VAULT", "FILE", "24 hours"]),
    (&["vault", "lock", "complete"], &["VAULT", "LOCK_ID"]),
    (&["vault", "lock", "abort"], &["VAULT"]),
    (&["vault", "lock", "show"], &["VAULT"]),
    (&["vault", "notify"], &["get", "set", "remove", "Examples"]),
    (&["vault", "notify", "set"], &["VAULT", "--topic", "--event", "archive", "inventory"]),
    (&["retrieval-policy"], &["get", "set", "Examples"]),
    (&["retrieval-policy", "set"], &["TARGET:", "LIMIT", "free-tier"]),
    (&["capacity"], &["list", "purchase", "Examples"]),
    (&["capacity", "purchase"], &["TARGET:", "price"]),
    (&["job"], &["list", "describe", "start", "output"]),
    (&["job", "list"], &["VAULT"]),
    (&["job", "describe"], &["VAULT", "JOB_ID"]),
    (&["job", "start"], &["VAULT", "--archive-id", "--inventory", "--tier", "--range", "--topic"]),
    (&["job", "output"], &["VAULT", "JOB_ID", "--to"]),
    (&["target"], &["add", "list", "remove", "test"]),
    (
        &["target", "add"],
        &[
            "--type",
            "--path",
            "--region",
            "--profile",
            "--endpoint-url",
            "--bucket",
            "--storage-class",
        ],
    ),
    (&["target", "remove"], &["NAME"]),
    (&["target", "test"], &["NAME"]),
    (&["store"], &["check", "compact", "rebuild", "stat"]),
    (&["store", "check"], &["--data"]),
    (&["store", "compact"], &["--data", "lock", "1 GiB"]),
    (&["store", "rebuild"], &["--data", "--accept-older-settings"]),
    (&["store", "stat"], &["--data"]),
    (&["completions"], &["bash", "zsh", "fish"]),
    (&["man"], &[]),
];

/// Options that stand in every help, because they may stand anywhere.
const GLOBAL: [&str; 8] = [
    "--target",
    "--output",
    "--config",
    "--quiet",
    "--verbose",
    "--dry-run",
    "--yes",
    "--lock-wait",
];

#[test]
fn every_command_explains_its_words() {
    let sandbox = Sandbox::new();
    for (command, words) in COMMANDS {
        let run = sandbox.ok([command, &["--help"]].concat());
        for word in words.iter().chain(&GLOBAL) {
            assert!(run.text().contains(word), "`{word}` is not in\n{run}");
        }
        let short = sandbox.ok([command, &["-h"]].concat());
        assert!(!short.stdout.is_empty());
    }
    assert!(!sandbox.store().exists() && !sandbox.catalog().exists(), "help left something behind");
}

#[test]
fn every_alias_is_the_command() {
    let sandbox = Sandbox::new();
    for (alias, command) in
        [("put", "upload"), ("ls", "list"), ("get", "retrieve"), ("rm", "delete")]
    {
        assert_eq!(sandbox.ok([alias, "--help"]).stdout, sandbox.ok([command, "--help"]).stdout);
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let run = Sandbox::new().ok(["--version"]);
    assert_eq!(run.text(), concat!("icefield ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn completions_are_written_for_every_shell() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let run = sandbox.ok(["completions", shell]);
        for word in ["retrieve", "part-size", "purge", "retrieval-policy"] {
            assert!(run.text().contains(word), "`{word}` is not in the completions for {shell}");
        }
    }
    sandbox.fails(2, ["completions", "cmd"]).says("bash");
}

#[test]
fn bash_reads_its_completions() {
    let sandbox = Sandbox::new();
    sandbox.write("completions", sandbox.ok(["completions", "bash"]).stdout);
    let status = sandbox.prepare("bash").args(["-n", "completions"]).status().unwrap();
    assert!(status.success());
}

#[test]
fn the_manual_has_a_page_for_the_program_and_each_command() {
    let sandbox = Sandbox::new();
    assert!(sandbox.ok(["man"]).text().contains(".TH icefield 1"));
    sandbox.ok(["man", "--to", "pages"]);
    for page in
        ["icefield.1", "icefield-upload.1", "icefield-vault-purge.1", "icefield-vault-lock.1"]
    {
        assert!(!sandbox.read(format!("pages/{page}")).is_empty());
    }
}

#[test]
fn without_a_command_the_help_is_shown_as_wrong_usage() {
    Sandbox::new().fails(2, [] as [&str; 0]).says("upload").says("retrieve");
}
