use std::convert::Infallible;
use std::io::{self, Read};

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::{prop_assert_eq, proptest};

use super::{
    CsvInventoryWriter, InventoryError, InventoryHead, InventoryItem, JsonInventoryWriter,
    read_csv, read_json,
};
use crate::{ArchiveId, Timestamp, TreeHash, VaultArn};

const ARN: &str = "arn:aws:glacier:us-west-2:012345678901:vaults/examplevault";
const HASH: &str = "beb0fe31a1c7ca8c6c04d574ea906e3f97b31fdca7571defb5b44dca89b5af60";

fn item(description: &str) -> InventoryItem {
    InventoryItem {
        archive_id: "-DMTmICuKi_xam".parse().unwrap(),
        description: description.to_owned(),
        created: "2012-05-15T17:19:46.700Z".parse().unwrap(),
        size: 2_140_123,
        tree_hash: HASH.parse().ok(),
    }
}

fn to_json(items: &[InventoryItem]) -> String {
    let arn: VaultArn = ARN.parse().unwrap();
    let date = Timestamp::parse("2011-12-12T14:19:01.999Z").unwrap();
    let mut writer = JsonInventoryWriter::new(Vec::new(), &arn, date).unwrap();
    items.iter().for_each(|item| writer.item(item).unwrap());
    String::from_utf8(writer.finish().unwrap()).unwrap()
}

fn to_csv(items: &[InventoryItem]) -> String {
    let mut writer = CsvInventoryWriter::new(Vec::new()).unwrap();
    items.iter().for_each(|item| writer.item(item).unwrap());
    String::from_utf8(writer.finish().unwrap()).unwrap()
}

type ReadBack = Result<(InventoryHead, Vec<InventoryItem>), InventoryError<Infallible>>;

fn from_json(text: &str) -> ReadBack {
    let mut items = Vec::new();
    let head = read_json(text.as_bytes(), &mut |item| {
        items.push(item);
        Ok(())
    })?;
    Ok((head, items))
}

fn from_csv(text: &str) -> ReadBack {
    let mut items = Vec::new();
    let head = read_csv(text.as_bytes(), &mut |item| {
        items.push(item);
        Ok(())
    })?;
    Ok((head, items))
}

#[test]
fn json_has_the_members_in_order_and_whole_seconds() {
    assert_eq!(
        to_json(&[item("my archive1"), item("a \"b\" \\ c")]),
        format!(
            r#"{{"VaultARN":"{ARN}","InventoryDate":"2011-12-12T14:19:01Z","ArchiveList":[{{"ArchiveId":"-DMTmICuKi_xam","ArchiveDescription":"my archive1","CreationDate":"2012-05-15T17:19:46Z","Size":2140123,"SHA256TreeHash":"{HASH}"}},{{"ArchiveId":"-DMTmICuKi_xam","ArchiveDescription":"a \"b\" \\ c","CreationDate":"2012-05-15T17:19:46Z","Size":2140123,"SHA256TreeHash":"{HASH}"}}]}}"#
        )
    );
    assert_eq!(
        to_json(&[]),
        format!(
            r#"{{"VaultARN":"{ARN}","InventoryDate":"2011-12-12T14:19:01Z","ArchiveList":[]}}"#
        )
    );
}

#[test]
fn json_of_other_writers_is_read() {
    let text = format!(
        r#" {{ "ArchiveList" : [
            {{"SHA256TreeHash":"{HASH}","New":{{"a":[1]}},"Size":1,"CreationDate":"2012-05-15T17:21:39.339Z","ArchiveDescription":null,"ArchiveId":"x"}},
            {{"SHA256TreeHash":"{HASH}","Size":1,"CreationDate":"2012-05-15T17:21:39Z","ArchiveId":"y"}}
          ], "Other": null, "InventoryDate": "2011-12-12T14:19:01Z", "VaultARN": "{ARN}" }}
        "#
    );
    let (head, items) = from_json(&text).unwrap();
    assert_eq!((head.items, head.vault_arn.unwrap().to_string().as_str()), (2, ARN));
    assert_eq!(head.date.unwrap().to_seconds_string(), "2011-12-12T14:19:01Z");
    assert_eq!(items[0].created.to_millis_string(), "2012-05-15T17:21:39.339Z");
    assert!(items.iter().all(|item| item.description.is_empty()));
}

#[test]
fn json_that_is_no_whole_inventory_is_refused_with_the_place() {
    let whole = to_json(&[item("one"), item("two")]);
    for end in 0..whole.len() {
        assert!(from_json(&whole[..end]).is_err(), "cut at {end}");
    }
    let second_damaged = whole.replacen("2140123,", "-1,", 2).replacen("-1,", "2140123,", 1);
    let message = from_json(&second_damaged).unwrap_err().to_string();
    assert!(message.starts_with("the inventory is damaged at item 2: "), "{message}");
    for bad in
        ["{}", "[]", "null", r#"{"ArchiveList":[],"ArchiveList":[]}"#, r#"{"ArchiveList":[]} x"#]
    {
        assert!(matches!(from_json(bad), Err(InventoryError::Malformed { .. })), "{bad}");
    }
}

#[test]
fn csv_quotes_as_the_service_does() {
    let names = "ArchiveId,ArchiveDescription,CreationDate,Size,SHA256TreeHash\n";
    assert_eq!(to_csv(&[]), names);
    for (description, field) in [
        ("plain text", "plain text"),
        ("my archive description,1", r#""my archive description,1""#),
        (r#"my archive description,1"2"#, r#""my archive description,1\"2""#),
        (r#"my archive description,1\"2"#, r#""my archive description,1\\"2""#),
        (r"C:\dir", r#""C:\dir""#),
        ("", ""),
        (
            r#"{"Path":"glacier-ui.exe","UTCDateModified":"20130313T040002Z"}"#,
            r#""{\"Path\":\"glacier-ui.exe\",\"UTCDateModified\":\"20130313T040002Z\"}""#,
        ),
    ] {
        let expected =
            format!("{names}-DMTmICuKi_xam,{field},2012-05-15T17:19:46Z,2140123,{HASH}\n");
        assert_eq!(to_csv(&[item(description)]), expected);
        assert_eq!(from_csv(&expected).unwrap().1[0].description, description);
    }
}

#[test]
fn csv_of_other_writers_is_read() {
    let text = format!(
        "\u{feff}\"ArchiveId\",\"ArchiveDescription\",\"CreationDate\",\"Size\",\"SHA256TreeHash\"\r\n\
         \"x\",\"plain\",\"2012-05-15T17:21:39.339Z\",\"1\",\"{HASH}\"\r\n\r\n\
         y,ends with \\,2012-05-15T17:21:39Z,1,{HASH}"
    );
    let (head, items) = from_csv(&text).unwrap();
    assert_eq!(head, InventoryHead { vault_arn: None, date: None, items: 2 });
    let descriptions: Vec<_> = items.iter().map(|item| item.description.as_str()).collect();
    assert_eq!(descriptions, ["plain", "ends with \\"]);
}

#[test]
fn csv_that_is_no_inventory_is_refused_with_the_line() {
    let good = to_csv(&[item("one")]);
    let place = |text: &str| match from_csv(text) {
        Err(InventoryError::Malformed { place, .. }) => place,
        other => panic!("{other:?}"),
    };
    assert_eq!(place(""), "line 1");
    assert_eq!(place("ArchiveId,Size\n"), "line 1");
    assert_eq!(place(&format!("{good}x,2012-05-15T17:21:39Z,1,{HASH}\n")), "line 3");
    assert_eq!(place(&good.replace("2140123", "-1")), "line 2");
    assert_eq!(place(&format!("{good}{}", "x".repeat(1 << 20))), "line 3");
}

#[test]
fn csv_cannot_hold_a_line_break() {
    let mut writer = CsvInventoryWriter::new(Vec::new()).unwrap();
    assert_eq!(writer.item(&item("a\nb")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn the_receivers_refusal_and_the_readers_failure_are_told_apart() {
    let items = [item("one"), item("two")];
    let mut seen = 0;
    let mut refuse_second = |_| {
        seen += 1;
        if seen == 2 { Err(io::Error::other("full")) } else { Ok(()) }
    };
    let refused = read_json(to_json(&items).as_bytes(), &mut refuse_second);
    assert!(matches!(refused, Err(InventoryError::Receiver { item: 2, .. })));
    seen = 0;
    let mut refuse_second = |_| {
        seen += 1;
        if seen == 2 { Err(io::Error::other("full")) } else { Ok(()) }
    };
    let refused = read_csv(to_csv(&items).as_bytes(), &mut refuse_second);
    assert!(matches!(refused, Err(InventoryError::Receiver { item: 2, .. })));

    let broken = to_json(&items);
    let broken = broken.as_bytes()[..broken.len() - 100].chain(Broken);
    let mut take = |_| Ok::<_, Infallible>(());
    assert!(matches!(read_json(broken, &mut take), Err(InventoryError::Read { items: 1, .. })));
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("unplugged"))
    }
}

fn any_item() -> impl Strategy<Value = InventoryItem> {
    let id = "[A-Za-z0-9_-]{1,255}".prop_map(|text| ArchiveId::parse(&text).unwrap());
    // Every printable description, with the characters that matter more often than chance has them.
    let description = "([ -~]|[\\\\\",]){0,60}";
    (id, description, 0..4_000_000_000_i64, any::<u64>(), any::<[u8; 32]>()).prop_map(
        |(archive_id, description, seconds, size, hash)| InventoryItem {
            archive_id,
            description,
            created: Timestamp::from_unix_millis(seconds * 1000),
            size,
            tree_hash: Some(TreeHash::from_bytes(hash)),
        },
    )
}

proptest! {
    #[test]
    fn json_that_was_written_is_read_back(items in vec(any_item(), 0..8)) {
        prop_assert_eq!(from_json(&to_json(&items)).unwrap().1, items);
    }

    #[test]
    fn csv_that_was_written_is_read_back(items in vec(any_item(), 0..8)) {
        prop_assert_eq!(from_csv(&to_csv(&items)).unwrap().1, items.clone());
        prop_assert_eq!(from_csv(&to_csv(&items).replace('\n', "\r\n")).unwrap().1, items);
    }
}

/// A string of 250 MB was read whole, took more than a gigabyte, and stood in the error.
#[test]
fn a_json_item_that_never_ends_is_refused_before_it_fills_the_memory() {
    for beginning in [r#"{"ArchiveList":[{"ArchiveId":""#, r#"{"Else":""#] {
        let endless = beginning.as_bytes().chain(io::repeat(b'a').take(64 << 20));
        let mut taken = 0;
        let counted = Counted { reader: endless, taken: &mut taken };
        let error = read_json(counted, &mut |_| Ok::<(), Infallible>(())).unwrap_err();
        assert!(matches!(&error, InventoryError::Malformed { .. }), "{error:?}");
        assert!(error.to_string().len() < 300, "{error}");
        assert!(taken < 2 << 20, "{taken}");
    }
}

#[test]
fn a_long_wrong_value_is_not_repeated_whole() {
    let text = format!(r#"{{"ArchiveList":["{}"]}}"#, "x".repeat(100_000));
    let error = read_json(text.as_bytes(), &mut |_| Ok::<(), Infallible>(())).unwrap_err();
    assert!(error.to_string().len() < 300, "{error}");
    assert!(error.to_string().contains("at line 1"), "{error}");
}

struct Counted<'a, R> {
    reader: R,
    taken: &'a mut usize,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        *self.taken += read;
        Ok(read)
    }
}
