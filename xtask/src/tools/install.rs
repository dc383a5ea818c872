//! How each tool is made, with the clients of the registries it comes from.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

/// A virtual environment with everything in `requirements.txt`.
///
/// Scripts in its `bin` name the folder it was made in; `python -m` works wherever it is.
pub(super) fn python(folder: &Path, locks: &Path) -> Result<()> {
    run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    run(pip(&folder.join("bin/python"))
        .args(["--only-binary", ":all:", "--requirement"])
        .arg(locks.join("python/requirements.txt")))
}

/// The packages of the lock file. None of them has a script to run, so none is run.
pub(super) fn node(folder: &Path, locks: &Path) -> Result<()> {
    for name in ["package.json", "package-lock.json"] {
        fs::copy(locks.join("node").join(name), folder.join(name))
            .with_context(|| format!("could not copy {name}"))?;
    }
    run(Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-fund", "--logs-max=0"])
        .current_dir(folder))
}

/// Debian 11's packages, unpacked beside a script that starts the interpreter.
pub(super) fn python27(folder: &Path, locks: &Path) -> Result<()> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "the packages that are pinned are those for Linux on x86-64"
    );
    let locks = locks.join("python27");
    let packages = folder.join("packages");
    fs::create_dir(&packages).context("could not make a folder for the packages")?;
    run(Command::new("python3")
        .arg(locks.join("fetch.py"))
        .arg(locks.join("packages.sha256"))
        .arg(&packages))?;
    for package in fs::read_dir(&packages).context("could not list the packages")? {
        run(Command::new("dpkg-deb").arg("-x").arg(package?.path()).arg(folder.join("root")))?;
    }
    fs::remove_dir_all(&packages).context("could not remove the packages")?;
    fs::copy(locks.join("python2.7"), folder.join("python2.7"))
        .context("could not copy the script that starts it")?;
    Ok(())
}

/// One folder for each release, to be put into `PYTHONPATH`.
pub(super) fn boto2(folder: &Path, locks: &Path) -> Result<()> {
    for release in ["2.29.1", "2.49.0"] {
        // Wheels of pure Python, so the interpreter that unpacks them need not be theirs.
        run(pip(Path::new("python3"))
            .args(["--no-deps", "--no-compile", "--only-binary", ":all:"])
            .args(["--platform", "any", "--implementation", "py", "--abi", "none"])
            .args(["--python-version", "2.7", "--target"])
            .arg(folder.join(release))
            .arg("--requirement")
            .arg(locks.join("boto2").join(format!("{release}.txt"))))?;
    }
    Ok(())
}

fn pip(python: &Path) -> Command {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    pip.args(["--no-input", "--require-hashes"]);
    pip
}

/// Runs `command` to its end without showing what it prints.
///
/// # Errors
///
/// Says which program failed, and the first and the last line it wrote about that: some programs
/// begin with the reason, some end with it.
pub(super) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("could not start {program}"))?;
    if !output.status.success() {
        // Debian's venv complains on its standard output.
        let said = [output.stderr, output.stdout].concat();
        let said = String::from_utf8_lossy(&said);
        let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or("it does not say why");
        match lines.next_back() {
            Some(last) => bail!("{program} failed: {first} ... {last}"),
            None => bail!("{program} failed: {first}"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::run;

    #[test]
    fn a_command_that_fails_says_why_in_its_first_and_last_line() {
        let failed = |script: &str| run(Command::new("sh").args(["-c", script])).unwrap_err();
        let long =
            failed("echo no network >&2; echo trace >&2; echo see log >&2; echo >&2; exit 3");
        assert_eq!(long.to_string(), "sh failed: no network ... see log");
        assert_eq!(failed("echo no network >&2; exit 3").to_string(), "sh failed: no network");
        assert_eq!(failed("exit 3").to_string(), "sh failed: it does not say why");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&mut Command::new("no-such-program")).unwrap_err();
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }
}
