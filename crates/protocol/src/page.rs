//! One page of a list.

/// Items of a list and where to go on.
///
/// Not the wire form: there the list has another name in every operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, at most as many as were asked for.
    pub items: Vec<T>,
    /// Names the first item of the next page; `None` on the last page.
    pub marker: Option<String>,
}
