//! Every form that other programs write, as they write it.

use proptest::{option, prop_assert, prop_assert_eq, proptest};

use super::{ArchiveNote, Decoded, ForeignNote, Format, Packing, Writer, decode, encode_as};
use crate::{
    catalog::{FileTime, Kind},
    path::{CatalogPath, InvalidPath},
};

/// 2019-01-03T12:45:10Z.
const MTIME: FileTime = FileTime { seconds: 1_546_519_510, nanos: 0 };
const PATH: &str = "M33/Light/frame \u{e9}1.fit";
const MD5: &str = "4340ebcf79712dc5e3ef7d50bab98ba5";

fn path(text: &str) -> CatalogPath {
    CatalogPath::parse(text).unwrap()
}

fn foreign(text: &str) -> ForeignNote {
    match decode(text) {
        Ok(Decoded::Foreign(note)) => note,
        other => panic!("{text}: {other:?}"),
    }
}

fn told(text: &str) -> (Writer, Option<String>, Option<FileTime>) {
    let note = foreign(text);
    (note.writer, note.path.unwrap().map(|path| path.to_string()), note.mtime)
}

#[test]
fn mtglaciers_of_both_versions_are_read() {
    let mt2 = "mt2 eyJmaWxlbmFtZSI6Ik0zMy9MaWdodC9mcmFtZSDDqTEuZml0IiwibXRpbWUiOiIyMDE5MDEwM1QxMjQ1MTBaIn0";
    let mt1 = "mt1 eyJmaWxlbmFtZSI6Ik0zMy9MaWdodC9mcmFtZSDDg8KpMS5maXQiLCJtdGltZSI6IjIwMTkwMTAzVDEyNDUxMFoifQ";
    for text in [mt2, mt1, &format!("  {mt2}=="), &format!("\"{mt1}\"")] {
        assert_eq!(told(text), (Writer::MtGlacier, Some(PATH.to_owned()), Some(MTIME)), "{text}");
    }
}

#[test]
fn mtglaciers_marks_that_name_nothing_are_no_names() {
    for text in
        ["mtijob1 eyJ0eXBlIjoiZnVsbCJ9", "mt2 !", "mt2 eyJmaWxlbmFtZSI6", "mt1 w6k", "mt2 e30"]
    {
        assert_eq!(told(text), (Writer::MtGlacier, None, None), "{text}");
    }
}

#[test]
fn fastglaciers_of_every_version_are_read() {
    let base64 = "TTMzL0xpZ2h0L2ZyYW1lIMOpMS5maXQ=";
    let later = |version: u8, ce: &str| {
        format!("<m><v>{version}</v><p>{base64}</p><lm>20190103T124510Z</lm>{ce}</m>")
    };
    let md5 = Some(u128::from_str_radix(MD5, 16).unwrap().to_be_bytes());
    let of =
        |original_md5, original_size| Packing { original_md5, original_size, ..Packing::default() };
    for (text, packing) in [
        (later(2, ""), Packing::default()),
        (later(3, &format!("<ce>0:0:{MD5}</ce>")), of(md5, None)),
        (later(4, &format!("<ce>0:0:{MD5}:5962393136</ce>")), of(md5, Some(5_962_393_136))),
        (later(4, ""), Packing::default()),
        (
            later(4, &format!("<ce>1:1:{MD5}:7</ce>")),
            Packing { is_compressed: true, is_encrypted: true, ..of(md5, Some(7)) },
        ),
        (later(4, "<ce>0:1::</ce>"), Packing { is_encrypted: true, ..Packing::default() }),
        (later(4, "").replace("><", ">\n  <").replace("IMO", "\n IMO"), Packing::default()),
    ] {
        let path = Ok(Some(path(PATH)));
        let (writer, kind, mtime) = (Writer::FastGlacier, Kind::File, Some(MTIME));
        assert_eq!(foreign(&text), ForeignNote { writer, path, kind, mtime, packing }, "{text}");
    }
    let first = format!("<ArchiveMetadata> <Path> {base64} </Path> <x/> </ArchiveMetadata>");
    assert_eq!(told(&first), (Writer::FastGlacier, Some(PATH.to_owned()), None));
}

#[test]
fn a_fastglacier_archive_of_a_folder_is_a_folder() {
    let note = foreign("<m><v>4</v><p>TTMzL0xpZ2h0Lw==</p><lm>20190103T124510Z</lm></m>");
    assert_eq!((note.path, note.kind), (Ok(Some(path("M33/Light"))), Kind::Folder));
}

#[test]
fn an_absolute_path_of_another_writer_loses_its_root() {
    let note = foreign("<m><v>4</v><p>L3NhbXBsZS8xMjM0LnBkZg==</p><lm>20190501T100059Z</lm></m>");
    assert_eq!(note.path, Ok(Some(path("sample/1234.pdf"))));
}

#[test]
fn cloudberrys_are_read_however_they_are_escaped() {
    let json =
        r#"{"Path":"M33/Light/frame +AOk-1.fit","UTCDateModified":"20190103T124510Z","Flags":0}"#;
    for text in [
        json.to_owned(),
        json.replace("Path", "path"),
        json.replace(r#""Flags":0"#, r#""Flags":"0""#),
        json.replace('"', r#""""#),
        format!("\"{}\"", json.replace('"', r#""""#)),
        json.replace('"', r#"\""#),
        format!("\"{}\"", json.replace('"', r#"\""#)),
    ] {
        assert_eq!(told(&text), (Writer::CloudBerry, Some(PATH.to_owned()), Some(MTIME)), "{text}");
    }
    let flags = |flags: u8| foreign(&json.replace(":0}", &format!(":{flags}}}"))).packing;
    let both = [flags(1), flags(2), flags(3)].map(|p| (p.is_compressed, p.is_encrypted));
    assert_eq!(both, [(true, false), (false, true), (true, true)]);
    let plus = r#"{"path":"c++/a+b.txt"}"#;
    assert_eq!(told(plus), (Writer::CloudBerry, Some("c++/a+b.txt".to_owned()), None));
}

#[test]
fn plain_text_is_a_path_if_it_can_be_one() {
    let plain = |text: &str| {
        let (writer, path, mtime) = told(text);
        assert_eq!((writer, mtime), (Writer::Other, None));
        path
    };
    for text in [
        "frame 1.fit",
        "images-main-2010-20150617-2211.tar.xz",
        "GPGHMACSHA1--2945f64be96ccbb9feb4d8ff44ac9692fdbe654e",
        "mt2",
    ] {
        assert_eq!(plain(text), Some(text.to_owned()));
    }
    assert_eq!(plain(" \"holiday films\" "), Some("holiday films".to_owned()));
    assert_eq!(plain("/path/to/archive"), Some("path/to/archive".to_owned()));
    assert_eq!(plain(r"C:\astro\x.fit"), Some("astro/x.fit".to_owned()));
    let long = "x".repeat(256);
    for text in ["", "  ", "\"\"", "No description.", "{\"a\":1}", "[1]", "<x/>", "{", &long] {
        assert_eq!(plain(text), None, "{text}");
    }
}

#[test]
fn a_path_that_would_leave_is_refused_whoever_wrote_it() {
    let mt2 = |name: &str| {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        let json = serde_json::json!({ "filename": name, "mtime": "20190103T124510Z" });
        format!("mt2 {}", URL_SAFE_NO_PAD.encode(json.to_string()))
    };
    for name in ["../x", "a/../../x", r"C:\..\x", "/", "//x", "a\0b", r"..\x", ""] {
        assert!(foreign(&mt2(name)).path.is_err(), "{name:?}");
    }
    let leaves = InvalidPath::Leaves("../../etc/passwd".to_owned());
    assert_eq!(foreign("../../etc/passwd").path, Err(leaves.clone()));
    assert_eq!(foreign(r#"{"Path":"../../etc/passwd"}"#).path, Err(leaves.clone()));
    let xml = "<m><v>4</v><p>Li4vLi4vZXRjL3Bhc3N3ZA==</p></m>";
    assert_eq!(foreign(xml).path, Err(leaves));
    let odd = "a\u{1b}[2J\nb";
    assert_eq!(foreign(&mt2(odd)).path, Ok(Some(path(odd))), "odd names are names");
}

#[test]
fn what_is_written_is_exactly_this_text() {
    let note = ArchiveNote { path: path(PATH), mtime: Some(MTIME), mode: Some(0o600) };
    let text = |format| encode_as(format, &note).map(String::from);
    let mt2 = "mt2 eyJmaWxlbmFtZSI6Ik0zMy9MaWdodC9mcmFtZSDDqTEuZml0IiwibXRpbWUiOiIyMDE5MDEwM1QxMjQ1MTBaIn0";
    assert_eq!(text(Format::Mt2).as_deref(), Some(mt2));
    assert_eq!(text(Format::Plain), None, "an accent is no ASCII");
    let json = r#"{"icefield":1,"path":"M33/Light/frame \u00e91.fit","mtime":"2019-01-03T12:45:10Z","mode":"0600"}"#;
    assert_eq!(text(Format::Icefield).as_deref(), Some(json));
    let plain = ArchiveNote { path: path("M33/a b.fit"), ..note };
    assert_eq!(encode_as(Format::Plain, &plain).unwrap().as_str(), "M33/a b.fit");
}

#[test]
fn what_a_form_cannot_hold_is_not_written_in_it() {
    let note = |name: &[u8], mtime| ArchiveNote {
        path: CatalogPath::parse(name).unwrap(),
        mtime,
        mode: None,
    };
    let is_written = |format, name: &[u8]| encode_as(format, &note(name, Some(MTIME))).is_some();
    // 4 bytes of mark, then 4 characters for 3 bytes; 42 bytes of JSON are not the name.
    assert!(is_written(Format::Mt2, &[b'x'; 723]) && !is_written(Format::Mt2, &[b'x'; 724]));
    assert!(!is_written(Format::Mt2, b"\xff") && !is_written(Format::Mt2, b"a\tb"));
    assert_eq!(encode_as(Format::Mt2, &note(b"x", None)), None);
    let year_11000 = FileTime { seconds: 284_990_745_600, nanos: 0 };
    assert_eq!(encode_as(Format::Mt2, &note(b"x", Some(year_11000))), None);
    for name in
        [&b" x"[..], b"x ", b"mt2 x", b"<m>", b"{x", b"\"x\"", b"No description.", &[b'x'; 256]]
    {
        assert!(!is_written(Format::Plain, name), "{:?}", String::from_utf8_lossy(name));
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        name: String,
        seconds in -30_610_224_000_i64..253_402_300_800,
        nanos in 0..1_000_000_000_u32,
        mode in option::of(0..=0o7777_u32),
    ) {
        let Ok(path) = CatalogPath::parse(name) else { return Ok(()) };
        let note = ArchiveNote { path, mtime: Some(FileTime { seconds, nanos }), mode };
        for format in [Format::Mt2, Format::Plain] {
            let Some(description) = encode_as(format, &note) else { continue };
            let read = foreign(description.as_str());
            prop_assert_eq!(&read.path, &Ok(Some(note.path.clone())));
            let mtime = (format == Format::Mt2).then_some(FileTime { seconds, nanos: 0 });
            prop_assert_eq!(read.mtime, mtime);
        }
    }

    #[test]
    fn any_text_is_decoded_without_a_panic_and_tells_no_path_that_leaves(
        text: String,
        mark in "mt1 |mt2 |mtijob1 |<m>|<ArchiveMetadata>|<m><p>|\\{\"Path\":\"|\\{\"\"path\"\":|\"",
        base64 in "[A-Za-z0-9+/_=-]{0,60}",
        end in "|</p>|</p></m>|\"|\"\\}|==",
    ) {
        for text in [&text, &format!("{mark}{text}{end}"), &format!("{mark}{base64}{end}")] {
            if let Ok(Decoded::Foreign(ForeignNote { path: Ok(Some(path)), .. })) = decode(text) {
                prop_assert!(path.segments().all(|segment| segment != b".." && !segment.is_empty()));
            }
        }
    }
}
