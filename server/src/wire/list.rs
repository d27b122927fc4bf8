//! Pages of lists.

use serde::Serialize;
use utoipa::ToSchema;
use yue_engine::view::Page;

use crate::cursor::Cursor;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List<T> {
    /// The rows.
    items: Vec<T>,
    /// Where the next page starts; `null` at the end.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

impl<T> List<T> {
    /// The rows of an engine's page.
    pub(crate) fn new<V, C: Cursor>(page: &Page<V, C>, row: impl Fn(&V) -> T) -> Self {
        Self {
            items: page.items.iter().map(row).collect(),
            next_cursor: page.next.as_ref().map(Cursor::encode),
        }
    }
}
