//! `icefield vault tag|untag|tags`.

use std::str::FromStr;

use clap::Args;
use icefield_protocol::{TagKey, TagValue, Tags, limits::TAGS_PER_REQUEST};
use serde::Serialize;

use super::{administration, done};
use crate::{
    args::VaultArg,
    failure::{Exit, Failure},
    output::{Record, count, stdout_rows},
    session::Session,
};

/// Tags to give to a vault.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  icefield vault tag frames owner=anna project=M33    two tags\n  icefield vault tag frames owner=bert                another value for one of them\n  icefield vault tag frames 'kept until=2031-12-31'   blanks are allowed, too"
)]
pub(crate) struct Tag {
    /// The vault
    vault: VaultArg,
    /// The tags; of one that the vault has already, the value is replaced
    #[arg(required = true, value_name = "KEY=VALUE")]
    tags: Vec<TagArg>,
}

/// Tags to take from a vault.
#[derive(Debug, Args)]
pub(crate) struct Untag {
    /// The vault
    vault: VaultArg,
    /// The keys of the tags; one that the vault does not have is fine
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<TagKey>,
}

/// A tag, `KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TagArg {
    key: TagKey,
    value: TagValue,
}

impl FromStr for TagArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (key, value) =
            text.split_once('=').ok_or("a tag is written KEY=VALUE; VALUE may be empty")?;
        let key = TagKey::parse(key).map_err(|error| error.to_string())?;
        let value = TagValue::parse(value).map_err(|error| error.to_string())?;
        Ok(Self { key, value })
    }
}

#[derive(Debug, Serialize)]
struct TagRecord {
    key: TagKey,
    value: TagValue,
}

impl Record for TagRecord {
    const COLUMNS: &'static [&'static str] = &["key", "value"];
    const HEADINGS: &'static [&'static str] = &["KEY", "VALUE"];

    fn cells(&self) -> Vec<String> {
        vec![self.key.to_string(), self.value.to_string()]
    }
}

/// Runs `vault tags`.
pub(super) async fn list(vault: &VaultArg, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(vault, false).await?;
    let tags = administration(open.target())?.tags(&open.name).await;
    let tags = done(&open, tags).await?;
    if tags.is_empty() {
        session.progress.note(format!("the vault {} has no tags", open.name));
    }
    let mut rows = stdout_rows(session.format());
    for (key, value) in tags {
        rows.push(&TagRecord { key, value })?;
    }
    rows.finish()?;
    open.opened.close().await?;
    Ok(Exit::Done)
}

/// Runs `vault tag`.
pub(super) async fn tag(command: Tag, session: &Session) -> anyhow::Result<Exit> {
    let tags = distinct(command.tags)?;
    let open = session.vault(&command.vault, false).await?;
    let settings = administration(open.target())?;
    let what = count(tags.len() as u64, "tag");
    if session.global.dry_run {
        open.require_vault().await?;
        session.progress.say(&format!("would give the vault {} {what}", open.name));
    } else {
        for some in chunks(tags) {
            done(&open, settings.add_tags(&open.name, &some).await).await?;
        }
        session.progress.note(format!("gave the vault {} {what}", open.name));
    }
    open.opened.close().await?;
    Ok(Exit::Done)
}

/// Runs `vault untag`.
pub(super) async fn untag(command: Untag, session: &Session) -> anyhow::Result<Exit> {
    let open = session.vault(&command.vault, false).await?;
    let settings = administration(open.target())?;
    let what = count(command.keys.len() as u64, "tag");
    if session.global.dry_run {
        open.require_vault().await?;
        session.progress.say(&format!("would take {what} from the vault {}", open.name));
    } else {
        for keys in command.keys.chunks(TAGS_PER_REQUEST) {
            done(&open, settings.remove_tags(&open.name, keys).await).await?;
        }
        session.progress.note(format!("took {what} from the vault {}", open.name));
    }
    open.opened.close().await?;
    Ok(Exit::Done)
}

/// Refuses a key that has two values.
fn distinct(given: Vec<TagArg>) -> Result<Tags, Failure> {
    let mut tags = Tags::new();
    for TagArg { key, value } in given {
        if let Some(other) = tags.insert(key.clone(), value) {
            return Err(Failure::usage(format!("the tag {key} is given twice, once as `{other}`"))
                .hint("a vault has one value for a key: leave one of them out"));
        }
    }
    Ok(tags)
}

/// As many tags at a time as a request may have.
fn chunks(tags: Tags) -> impl Iterator<Item = Tags> {
    let mut left = tags.into_iter();
    std::iter::from_fn(move || {
        let some: Tags = left.by_ref().take(TAGS_PER_REQUEST).collect();
        (!some.is_empty()).then_some(some)
    })
}

#[cfg(test)]
mod tests {
    use super::{TagArg, chunks, distinct};

    fn tags(texts: &[&str]) -> Vec<TagArg> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_first_equals_sign_ends_the_key() {
        for (text, key, value) in
            [("a=b", "a", "b"), ("a=", "a", ""), ("a b=c=d", "a b", "c=d"), ("a==", "a", "=")]
        {
            let tag: TagArg = text.parse().unwrap();
            assert_eq!((tag.key.as_str(), tag.value.as_str()), (key, value));
        }
        for text in ["a", "=b", "aws:x=1", "a=b:c", ""] {
            assert!(text.parse::<TagArg>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_key_has_one_value() {
        assert_eq!(distinct(tags(&["a=1", "A=2"])).unwrap().len(), 2, "keys know case");
        let refused = distinct(tags(&["a=1", "b=2", "a=3"])).unwrap_err();
        assert!(refused.to_string().contains("a is given twice"), "{refused}");
    }

    #[test]
    fn a_request_has_ten_tags_at_most() {
        let many: Vec<_> = (0..23).map(|number| format!("k{number:02}=v")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let sizes: Vec<_> = chunks(distinct(tags(&many)).unwrap()).map(|some| some.len()).collect();
        assert_eq!(sizes, [10, 10, 3]);
    }
}
