//! What is said before an upload begins.

use std::{ops::ControlFlow, time::Duration};

use icefield_client::{
    transfer::rate::RateLimit,
    walk::{Found, Selection, walk},
};

use super::{Input, Upload};
use crate::{
    output::{printable, size},
    session::{Session, VaultSession},
};

/// Says where it goes, and how long it takes if a rate is given or remembered.
pub(super) fn say_beginning(
    command: &Upload,
    input: &Input,
    selection: &Selection,
    open: &VaultSession,
    session: &Session,
) -> anyhow::Result<()> {
    if session.global.quiet {
        return Ok(());
    }
    let now = session.clock.now();
    let place = open.target().describe();
    session.progress.note(format!(
        "{now} uploading {} to the vault {} in {place}",
        named(command),
        open.name
    ));
    let remembered = open.catalog.rate(open.target().identity())?;
    let line = match (command.estimate_rate, remembered) {
        (Some(mbit), _) => Some((mbit * 1e6 / 8.0, "the given rate")),
        (None, Some(rate)) => Some((rate, "the rate of earlier runs")),
        (None, None) => None,
    };
    let limit = command.limit_rate.as_deref().and_then(|text| text.parse::<RateLimit>().ok());
    #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
    let limit = limit.and_then(|limit| limit.at(now, session.local_offset)).map(|rate| rate as f64);
    let (rate, whose) = match (line, limit) {
        (Some((rate, _)), Some(limit)) if limit < rate => (limit, "the rate of --limit-rate"),
        (None, Some(limit)) => (limit, "the rate of --limit-rate"),
        (Some(line), _) => line,
        (None, None) => return Ok(()),
    };
    let Input::Roots(roots) = input else { return Ok(()) };
    let mut bytes = 0_u64;
    let _ = walk(roots, selection, &mut |found| {
        if let Found::Item(item) = found {
            bytes += item.identity.size;
        }
        ControlFlow::Continue(())
    });
    #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
    let seconds = bytes as f64 / rate.max(1.0);
    let Ok(estimate) = Duration::try_from_secs_f64(seconds.ceil()) else { return Ok(()) };
    session.progress.note(format!(
        "{} if all of it is new: about {} at {whose} ({:.2} Mbit/s), until {}",
        size(bytes),
        humantime::format_duration(estimate),
        rate * 8.0 / 1e6,
        now.saturating_add(estimate),
    ));
    Ok(())
}

/// What is uploaded, in the user's words: the first few paths.
fn named(command: &Upload) -> String {
    const NAMED_AT_MOST: usize = 3;
    if command.is_stream() {
        return "standard input".to_owned();
    }
    let paths = command.path.iter().map(|path| printable(&path.to_string_lossy()));
    let list = command.files_from.iter().map(|list| format!("what {} lists", list.display()));
    let mut named: Vec<_> = paths.chain(list).collect();
    let more = named.len().saturating_sub(NAMED_AT_MOST);
    named.truncate(NAMED_AT_MOST);
    match more {
        0 => named.join(", "),
        _ => format!("{} and {more} more", named.join(", ")),
    }
}
