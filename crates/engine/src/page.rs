//! Pages of lists: limits that are clamped, markers that name the first item of the next page.

use icefield_protocol::Page;

use crate::error::EngineError;

/// Returns how many items a page has: `max` unless fewer are asked for ("larger limits are clamped, never refused").
pub(crate) fn page_limit(limit: Option<u64>, max: usize) -> Result<usize, EngineError> {
    match limit {
        Some(0) => Err(EngineError::InvalidLimit(0)),
        Some(limit) => Ok(usize::try_from(limit).unwrap_or(max).min(max)),
        None => Ok(max),
    }
}

/// Reads a marker; an empty one begins at the start.
pub(crate) fn read_marker<T>(
    marker: Option<&str>,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, EngineError> {
    match marker {
        None | Some("") => Ok(None),
        Some(text) => match read(text) {
            Some(value) => Ok(Some(value)),
            None => Err(EngineError::InvalidMarker(text.to_owned())),
        },
    }
}

/// Makes a page of `limit + 1` rows or fewer: the row beyond the limit is named by the marker.
pub(crate) fn page_of<R, T>(
    mut rows: Vec<R>,
    limit: usize,
    marker: impl FnOnce(&R) -> Result<String, EngineError>,
    item: impl FnMut(R) -> Result<Option<T>, EngineError>,
) -> Result<Page<T>, EngineError> {
    let marker = rows.get(limit).map(marker).transpose()?;
    rows.truncate(limit);
    let items =
        rows.into_iter().map(item).filter_map(Result::transpose).collect::<Result<_, _>>()?;
    Ok(Page { items, marker })
}
