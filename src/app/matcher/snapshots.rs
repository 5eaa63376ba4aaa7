//! The files that indexes are kept in: one for each tenant, written beside its place and then moved there, so that it is
//! whole or not there. They hold no words, but what can be guessed from them is the customers': only the server's user may
//! read them.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::IndexGuard;
use crate::domain::id::TenantId;
use crate::matching::{Index, Policy, SnapshotError, Stamp};

/// A folder of snapshots.
#[derive(Debug)]
pub(super) struct Snapshots {
    folder: PathBuf,
}

impl Snapshots {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(super) fn place(&self, tenant: TenantId) -> PathBuf {
        self.folder.join(format!("{tenant}.index"))
    }

    /// Reads a tenant's snapshot, if there is one.
    pub(super) fn read(&self, tenant: TenantId, policy: Policy) -> Result<Option<(Index, Stamp)>, SnapshotError> {
        match File::open(self.place(tenant)) {
            Ok(file) => Index::restore(policy, BufReader::with_capacity(1 << 20, file)).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a tenant's index in place of what was there, and answers how many bytes it has. The index is held until all
    /// of it is handed to the system; the wait for the disk is after that.
    pub(super) async fn write(&self, tenant: TenantId, mut index: IndexGuard, stamp: Stamp) -> io::Result<u64> {
        let (folder, place) = (self.folder.clone(), self.place(tenant));
        let write = move || {
            fs::create_dir_all(&folder)?;
            let file = NamedTempFile::new_in(&folder)?;
            index.index.snapshot(&stamp, file.as_file())?;
            // Should the disk fail below, the next one is written when there is more news.
            index.saved = stamp.sequence;
            drop(index);
            finish(file, &folder, &place)
        };
        tokio::task::spawn_blocking(write).await.map_err(io::Error::other)?
    }
}

/// Moves a file to its place once the disk has it.
fn finish(file: NamedTempFile, folder: &Path, place: &Path) -> io::Result<u64> {
    file.as_file().sync_all()?;
    let bytes = file.as_file().metadata()?.len();
    file.persist(place).map_err(|error| error.error)?;
    // The move itself has to last as well; where folders cannot be opened it lasts by itself.
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(bytes)
}
