//! The examples of `docs/inventory-files.md`, each through the reader.

use std::{convert::Infallible, fs};

use rusqlite::Connection;

use super::name;
use crate::{
    description::{Decoded, ForeignNote, decode},
    inventory::{FileItem, read_file},
};

fn document() -> String {
    fs::read_to_string("../../docs/inventory-files.md").unwrap()
}

/// Headings of the third level, each with its fenced block.
fn examples(document: &str) -> Vec<(String, String)> {
    let sections = document.split("\n### ").skip(1);
    let example = |section: &str| {
        let (name, rest) = section.split_once('\n').unwrap();
        let block = rest.split("```").nth(1).unwrap();
        let (_, content) = block.split_once('\n').unwrap();
        (name.trim_end_matches(" (written)").to_owned(), content.to_owned())
    };
    sections.map(example).collect()
}

#[test]
fn every_example_of_a_file_is_read_as_what_it_is_called() {
    let document = document();
    let examples = examples(&document);
    assert_eq!(examples.len(), 10);
    for (form, content) in examples {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        if content.starts_with("CREATE TABLE") {
            Connection::open(&path).unwrap().execute_batch(&content).unwrap();
        } else {
            fs::write(&path, content).unwrap();
        }
        let mut paths = Vec::new();
        let read = read_file::<Infallible>(Some(&name()), &path, &mut |item| {
            match item {
                FileItem::Entry(entry) | FileItem::Named(entry) => {
                    assert!(entry.archive.is_some(), "{form}");
                    paths.push(entry.path.to_string());
                }
                FileItem::Refused(refusal) => panic!("{form}: {refusal:?}"),
                FileItem::Deleted { archive, .. } => assert_eq!(archive.as_str(), "sNa2LmQ0"),
                FileItem::OtherVaults { rows } => assert_eq!((rows, &*form), (1, "glacier-cli")),
                FileItem::Manifest(manifest) => panic!("{form}: {manifest:?}"),
            }
            Ok(())
        });
        assert_eq!(read.unwrap().as_str(), form);
        assert_eq!(paths[0], "M33/Light/frame 1.fit", "{form}");
    }
}

#[test]
fn every_example_of_a_description_tells_its_path() {
    let document = document();
    let (_, table) = document.split_once("| --- |").unwrap();
    let rows: Vec<_> = table.lines().filter(|line| line.contains(" | `")).collect();
    assert_eq!(rows.len(), 10);
    for row in rows {
        let mut cells = row.split('`').skip(1).step_by(2);
        let (description, path) = (cells.next().unwrap(), cells.next().unwrap());
        let told = match decode(description) {
            Ok(Decoded::Note(note)) => Ok(Some(note.path)),
            Ok(Decoded::Foreign(ForeignNote { path, .. })) => path,
            other => panic!("{row}: {other:?}"),
        };
        assert_eq!(told.unwrap().unwrap().to_string(), path, "{row}");
    }
}
