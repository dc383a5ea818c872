//! Paths of other programs, which may be absolute or native, as catalog paths.
//!
//! The root goes: `C:\astro\x.fit` becomes `astro/x.fit`, `\\nas\share\x.fit` becomes `x.fit`, `/Users/me/x.fit` becomes
//! `Users/me/x.fit`. A backslash separates only where a drive letter or a share shows that the path is from Windows.

use super::{CatalogPath, InvalidPath};

/// Returns the catalog path for a native path, absolute or not.
pub(crate) fn to_catalog(native: &[u8]) -> Result<CatalogPath, InvalidPath> {
    let path = match windows(native) {
        Some(rest) => rest.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect(),
        None => native.strip_prefix(b"/").unwrap_or(native).to_vec(),
    };
    CatalogPath::parse(path).map_err(|error| name(error, native))
}

/// Returns what follows the root of a Windows path, if it is one.
fn windows(native: &[u8]) -> Option<&[u8]> {
    let long = native.strip_prefix(br"\\?\").or_else(|| native.strip_prefix(br"\\.\"));
    if let Some(share) = native.strip_prefix(br"\\?\UNC\") {
        return after_share(share);
    }
    match long.unwrap_or(native) {
        [letter, b':', b'\\' | b'/', rest @ ..] if letter.is_ascii_alphabetic() => Some(rest),
        [b'\\', b'\\', share @ ..] if long.is_none() => after_share(share),
        _ => None,
    }
}

/// Returns what follows `server\share\`.
fn after_share(path: &[u8]) -> Option<&[u8]> {
    path.splitn(3, |byte| *byte == b'\\').nth(2)
}

/// Names the path as the file has it.
fn name(error: InvalidPath, native: &[u8]) -> InvalidPath {
    let shown = || icefield_protocol::shortened(&String::from_utf8_lossy(native));
    match error {
        InvalidPath::Absolute(_) => InvalidPath::Absolute(shown()),
        InvalidPath::Leaves(_) => InvalidPath::Leaves(shown()),
        InvalidPath::Nul(_) => InvalidPath::Nul(shown()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::to_catalog;

    #[test]
    fn the_root_goes_and_backslashes_of_windows_separate() {
        for (native, catalog) in [
            (r"C:\astro\Subs\x.fit", "astro/Subs/x.fit"),
            ("d:/astro/x.fit", "astro/x.fit"),
            (r"\\nas\share\Subs\x.fit", "Subs/x.fit"),
            (r"\\?\C:\x.fit", "x.fit"),
            (r"\\?\UNC\nas\share\x.fit", "x.fit"),
            ("/Users/me/x.fit", "Users/me/x.fit"),
            (r"/Users/me/a\b.fit", r"Users/me/a\b.fit"),
            ("a/b.fit", "a/b.fit"),
        ] {
            assert_eq!(to_catalog(native.as_bytes()).unwrap().to_lossy(), catalog, "{native}");
        }
    }

    #[test]
    fn what_would_still_leave_is_refused_with_its_name() {
        for bad in
            [r"C:\..\x", "/../x", "/", r"C:\", "//x", r"C:\C:\x", r"\\nas\share", "a\0b", r"x\..\y"]
        {
            assert!(to_catalog(bad.as_bytes()).is_err(), "{bad:?}");
        }
        let error = to_catalog(br"C:\a\..\..\x").unwrap_err().to_string();
        assert!(error.contains(r"C:\\a\\..\\..\\x"), "{error}");
    }
}
