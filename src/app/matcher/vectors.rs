//! Another embedder's vectors in a tenant's index: read from the database with the reports they belong to.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::app::Error;
use crate::domain::id::ReportId;
use crate::matching::{Embedding, Space};
use crate::store::{self, Reader};

use super::TenantIndex;

/// Vectors read at once.
const VECTORS: usize = 5_000;

/// Whose vectors an index takes, and how far they are read.
pub(super) struct Beside {
    pub(super) embedder: Arc<str>,
    space: Space,
    /// Those of what was inserted since the first reading are read too; before, there is no need to note it.
    is_read: bool,
    unread: Vec<ReportId>,
}

impl Beside {
    pub(super) fn new(embedder: Arc<str>) -> Self {
        Self { space: Space::named(&embedder), embedder, is_read: false, unread: Vec::new() }
    }

    pub(super) fn space(&self) -> Space {
        self.space
    }

    /// A report was inserted, with or without a vector.
    pub(super) fn note(&mut self, report: ReportId) {
        if self.is_read {
            self.unread.push(report);
        }
    }
}

impl TenantIndex {
    /// Reads the vectors of what was inserted, if the index takes any. May be given up at any await.
    pub(super) async fn read_vectors(&mut self, db: &Reader<'_>) -> Result<(), Error> {
        let Some(beside) = &mut self.beside else { return Ok(()) };
        if !beside.is_read {
            beside.unread = self.index.lacking_vectors();
            beside.is_read = true;
        }
        while !beside.unread.is_empty() {
            let from = beside.unread.len().saturating_sub(VECTORS);
            let found = store::vector::of_reports(db, &beside.embedder, &beside.unread[from..]).await?;
            for (report, bytes) in found {
                if let Some(embedding) = Embedding::from_bytes(beside.space, &bytes) {
                    self.index.give_vector(report, &embedding);
                }
            }
            beside.unread.truncate(from);
        }
        self.index.fit_scale();
        Ok(())
    }

    /// Reports whose texts are compared and lack a vector, one for each text.
    pub(crate) fn lacking_vectors(&self) -> Vec<ReportId> {
        self.index.lacking_vectors()
    }

    /// Takes vectors that were found since the reports were read. Returns how many texts still lack one, before and
    /// after.
    pub(crate) fn give_vectors(&mut self, vectors: &BTreeMap<ReportId, Embedding>) -> (usize, usize) {
        let before = self.index.lacking_count();
        for (&report, embedding) in vectors {
            self.index.give_vector(report, embedding);
        }
        self.index.fit_scale();
        (before, self.index.lacking_count())
    }
}
