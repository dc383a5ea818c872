//! What the catalog calls a local path.
//!
//! An upload calls its arguments by their last name, or by more of it (a list, a prefix), and what is below them by all
//! from there on. So the end of a local path is its name in the catalog, and only the catalog knows how long an end.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use super::VerifyError;
use crate::{
    catalog::{Catalog, VaultRef},
    local,
    path::CatalogPath,
    walk::normalised,
};

/// A local path as the catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The folder below which the catalog's paths lie.
    pub base: PathBuf,
    /// The path in the catalog; if it is not there itself, a folder above it is.
    pub path: CatalogPath,
}

/// Finds what the catalog calls a local path. Blocks.
///
/// The longest end of the absolute path that the catalog has, as an entry or as a folder of entries, is the one. If it
/// has none, the nearest folder above for which it has one decides: then the path was not archived with the rest. What
/// an inventory has shown gone counts only if nothing else does.
///
/// # Errors
///
/// When the catalog fails, knows no end of the path or of a folder above it, or knows only the latter and there is
/// nothing on disk.
pub fn locate(catalog: &Catalog, vault: VaultRef, path: &Path) -> Result<Located, VerifyError> {
    let whole = std::path::absolute(path)
        .map_err(|source| VerifyError::Path { path: path.to_owned(), source })?;
    let whole = normalised(&whole);
    let segments: Vec<&[u8]> = whole
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(local::bytes(name)),
            _ => None,
        })
        .collect();
    for gone in [false, true] {
        for end in (1..=segments.len()).rev() {
            for begin in 0..end {
                let Ok(candidate) = CatalogPath::parse(segments[begin..end].join(&b'/')) else {
                    continue;
                };
                if !catalog.knows(vault, &candidate, gone)? {
                    continue;
                }
                if end < segments.len() && fs::symlink_metadata(&whole).is_err() {
                    return Err(VerifyError::Nowhere(path.to_owned()));
                }
                let base = whole.ancestors().nth(segments.len() - begin).unwrap_or(&whole);
                let Ok(path) = CatalogPath::parse(segments[begin..].join(&b'/')) else { continue };
                return Ok(Located { base: base.to_owned(), path });
            }
        }
    }
    Err(VerifyError::Unknown { path: path.to_owned(), tried: ends(&segments) })
}

/// The ends of a path, the shortest first, for a message.
fn ends(segments: &[&[u8]]) -> String {
    const SHOWN: usize = 3;
    let shown = (0..segments.len()).rev().take(SHOWN).map(|begin| {
        let end = segments[begin..].join(&b'/');
        format!("`{}`", String::from_utf8_lossy(&end))
    });
    let shown: Vec<_> = shown.chain((segments.len() > SHOWN).then(|| "...".to_owned())).collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use super::{Located, locate};
    use crate::{
        catalog::Kind,
        retrieval::tests::{Scene, bytes, entry, path},
        verify::VerifyError,
    };

    fn located(scene: &Scene, local: &Path) -> Result<Located, VerifyError> {
        locate(&scene.context.catalog, scene.context.vault, local)
    }

    #[test]
    fn the_longest_end_that_the_catalog_has_is_the_path() {
        let scene = Scene::new();
        scene.archived("photos/2024/a.fit", "a", bytes(1));
        scene.archived("2024/a.fit", "b", bytes(1));
        scene.record(&[entry("solo", Kind::Folder)]);
        let top = Path::new("/mnt/disk");
        let found = |local: &str| located(&scene, &top.join(local)).unwrap();
        let below = |base: &str, at: &str| Located { base: top.join(base), path: path(at) };
        assert_eq!(found("photos"), below("", "photos"));
        assert_eq!(found("photos/2024"), below("", "photos/2024"));
        assert_eq!(found("x/photos/2024/../2024/a.fit"), below("x", "photos/2024/a.fit"));
        assert_eq!(found("other/2024/a.fit"), below("other", "2024/a.fit"));
        assert_eq!(found("y/solo/"), below("y", "solo"));
        scene.archived("mnt/disk/photos/2024/a.fit", "c", bytes(1));
        let whole = Located { base: "/".into(), path: path("mnt/disk/photos/2024") };
        assert_eq!(found("photos/2024"), whole);
    }

    #[test]
    fn what_is_not_archived_lies_below_a_folder_that_is_or_is_an_error() {
        let scene = Scene::new();
        scene.archived("photos/a.fit", "a", bytes(1));
        let top = scene.folder.path().join("p");
        fs::create_dir_all(top.join("photos")).unwrap();
        fs::write(top.join("photos/new.fit"), "").unwrap();
        fs::write(top.join("stranger"), "").unwrap();
        let found = located(&scene, &top.join("photos/new.fit")).unwrap();
        assert_eq!(found, Located { base: top.clone(), path: path("photos/new.fit") });
        let error = located(&scene, &top.join("photos/none.fit")).unwrap_err();
        assert!(matches!(error, VerifyError::Nowhere(_)), "{error}");
        let error = located(&scene, &top.join("stranger")).unwrap_err().to_string();
        assert!(error.contains("`stranger`, `p/stranger`"), "{error}");
        assert!(located(&scene, Path::new("/")).is_err());
    }

    #[test]
    fn a_relative_path_counts_from_the_current_folder() {
        let scene = Scene::new();
        scene.archived("photos/a.fit", "a", bytes(1));
        let base = env::current_dir().unwrap();
        let found = located(&scene, Path::new("./photos")).unwrap();
        assert_eq!(found, Located { base, path: path("photos") });
    }
}
