//! Pages of lists, by key: what lies between two pages cannot shift them.

/// Which way a list goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Oldest, or smallest, first.
    Ascending,
    /// Newest, or largest, first.
    Descending,
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page<T, K> {
    /// Its rows.
    pub items: Vec<T>,
    /// The key of the last row, if there are more.
    pub next: Option<K>,
}

impl<T, K> Page<T, K> {
    /// Makes a page of at most `size` rows out of `size + 1` that were asked for.
    pub(in crate::store) fn cut(mut items: Vec<T>, size: u64, key: impl Fn(&T) -> K) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let more = items.len() > size;
        items.truncate(size);
        let next = if more { items.last().map(key) } else { None };
        Self { items, next }
    }
}
