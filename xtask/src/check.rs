//! `cargo xtask check`: what can be judged without running the program.

use anyhow::Result;

use crate::steps::{Steps, cargo, has_cargo_command};

/// Checks formatting, lints, documentation and dependencies.
pub(crate) fn check() -> Result<()> {
    let mut steps = Steps::default();
    steps.run("format", &mut cargo(&["fmt", "--all", "--check"]));
    steps.run(
        "clippy",
        &mut cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
    );
    steps.run(
        "documentation",
        cargo(&["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings"),
    );
    if has_cargo_command("deny") {
        // Advisories change without a change here, so they are checked for releases only.
        steps.run(
            "dependencies",
            &mut cargo(&[
                "deny",
                "--workspace",
                "--locked",
                "check",
                "bans",
                "licenses",
                "sources",
            ]),
        );
    } else {
        steps.skip(
            "dependencies",
            "cargo-deny is not installed (cargo install cargo-deny --version 0.20.2 --locked)",
        );
    }
    steps.finish()
}
