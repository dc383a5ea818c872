//! The file of the master key: 64 hex digits that only their owner may read, made on first use.

use std::{
    fs::{self, File, Metadata},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::Path,
};

use icefield_engine::MasterKey;
use icefield_store::Store;
use rustix::process::geteuid;

use crate::failure::Failure;

/// What the names of documents with a sealed secret of a caller begin with.
const SEALED: &str = "key/";

/// Reads the key of a store, or makes one up and keeps it before it is used: only for a store that holds no secret yet, or
/// its keys would be sealed with two.
pub(crate) async fn master_key(path: &Path, store: &Store) -> anyhow::Result<MasterKey> {
    let holds_secrets = !store.ledger().documents(SEALED, None, 1).await?.is_empty();
    read_or_make(path, holds_secrets)
}

fn read_or_make(path: &Path, holds_secrets: bool) -> anyhow::Result<MasterKey> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && holds_secrets => {
            Err(Failure::failed(format!(
                "the store's access keys were sealed with a master key, and there is none at {}",
                path.display()
            ))
            .hint("ICEFIELD_MASTER_KEY_FILE or master_key_file names the file that was used when the keys were made")
            .into())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = MasterKey::generate()?;
            write(path, &key).map_err(|error| failed("make", path, error))?;
            tracing::info!(path = %path.display(), "made a master key");
            Ok(key)
        }
        Err(error) => Err(failed("read", path, error).into()),
        Ok((text, found)) => {
            if others_may_use(found.mode(), found.uid(), geteuid().as_raw()) {
                return Err(Failure::usage(format!(
                    "others than its owner may read the master key {}",
                    path.display()
                ))
                .hint(format!("chmod 600 {}", path.display()))
                .into());
            }
            parse(text.trim()).ok_or_else(|| {
                Failure::failed(format!("{} does not hold 64 hex digits", path.display()))
                    .hint("put the right file back from a backup: without it no key's secret can be read, and new keys have to be made")
                    .into()
            })
        }
    }
}

fn failed(doing: &str, path: &Path, error: io::Error) -> Failure {
    Failure::failed(format!("cannot {doing} the master key {}", path.display()))
        .because(error)
        .hint("ICEFIELD_MASTER_KEY_FILE or master_key_file names another place, outside the data directory")
}

fn read(path: &Path) -> io::Result<(String, Metadata)> {
    let found = fs::metadata(path)?;
    Ok((fs::read_to_string(path)?, found))
}

/// Whether the file is not for us alone. One that root lends us, as systemd does with credentials, has to be readable for
/// us in some way: an access list that does so shows as what the group may.
fn others_may_use(mode: u32, owner: u32, us: u32) -> bool {
    let is_lent = owner == 0 && us != 0;
    let forbidden = if is_lent { 0o037 } else { 0o077 };
    mode & forbidden != 0
}

/// Writes beside the path, then links: whoever comes second gets an error instead of another key.
fn write(path: &Path, key: &MasterKey) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut beside = tempfile::Builder::new().prefix(".master.key-").tempfile_in(folder)?;
    let digits: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(beside, "{digits}")?;
    beside.as_file().sync_all()?;
    let kept = beside.persist_noclobber(path).map_err(|error| error.error)?;
    kept.sync_all()?;
    File::open(folder)?.sync_all()
}

fn parse(text: &str) -> Option<MasterKey> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut key = [0; 32];
    for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(MasterKey::from_bytes(key))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/master.key");
        let key = read_or_make(&path, false).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(dir.path().join("new")).unwrap().mode() & 0o777, 0o700);
        assert_eq!(read_or_make(&path, true).unwrap().as_bytes(), key.as_bytes());
        let elsewhere = dir.path().join("elsewhere/master.key");
        let refused = read_or_make(&elsewhere, true).unwrap_err().to_string();
        assert!(refused.contains("there is none at"), "{refused}");
        assert!(!dir.path().join("elsewhere").exists(), "nothing is made");
    }

    #[test]
    fn a_key_may_be_lent_by_root_to_a_service_but_not_to_everybody() {
        assert!(!others_may_use(0o100_440, 0, 998));
        for (mode, owner, us) in
            [(0o440, 998, 998), (0o440, 0, 0), (0o444, 0, 998), (0o460, 0, 998), (0o604, 998, 998)]
        {
            assert!(others_may_use(mode, owner, us), "{mode:o}");
        }
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        fs::write(&path, "ab".repeat(32)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(
            read_or_make(&path, false).unwrap_err().to_string().contains("others than its owner")
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(read_or_make(&path, false).is_ok());
        for text in ["", "ab", &"xy".repeat(32), &"+1".repeat(32)] {
            fs::write(&path, text).unwrap();
            assert!(read_or_make(&path, false).is_err(), "{text}");
        }
    }
}
