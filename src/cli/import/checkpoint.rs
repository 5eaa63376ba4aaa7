//! How far an import came, so that one that was killed does not begin anew.
//!
//! A file of one JSON object beside the imported file, rewritten about once a second and replaced as a whole. It holds
//! for one key, source and content: anything else, and it is not looked at. It only saves time. Lines after it that were
//! accepted are replayed, and the end is the same; so it is neither synced to disk nor missed when it cannot be written.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What a checkpoint holds for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Binding {
    /// The public id of the API key: it belongs to one tenant of one server.
    key: String,
    source: String,
    size: u64,
    sha256: String,
}

impl Binding {
    /// The binding of a file's content; standard input (`None`) has none that could be known beforehand.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn of(file: Option<&Path>, key: String, source: String) -> anyhow::Result<Self> {
        let Some(path) = file else { return Ok(Self { key, source, size: 0, sha256: String::new() }) };
        let unreadable = || format!("{} cannot be read", path.display());
        let mut file = File::open(path).with_context(unreadable)?;
        let mut digest = Sha256::new();
        let mut size = 0;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let read = file.read(&mut buffer).with_context(unreadable)?;
            if read == 0 {
                break;
            }
            size += read as u64;
            digest.update(&buffer[..read]);
        }
        let sha256 = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { key, source, size, sha256 })
    }
}

/// What became of the lines up to one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Every line up to this one was answered.
    pub(super) line: u64,
    /// Newly stored.
    pub(super) accepted: u64,
    /// Stored before.
    pub(super) replayed: u64,
    /// Not stored, for a reason that was printed.
    pub(super) refused: u64,
}

impl Counts {
    /// All of them. Blank lines are not counted.
    pub(super) fn lines(&self) -> u64 {
        self.accepted + self.replayed + self.refused
    }
}

#[derive(Serialize, Deserialize)]
struct Content {
    binding: Binding,
    counts: Counts,
}

/// A place to remember counts in.
#[derive(Debug)]
pub(super) struct Checkpoint {
    path: PathBuf,
    binding: Binding,
    counts: Counts,
    is_writable: bool,
}

/// Where a file's checkpoint lies unless told otherwise.
pub(super) fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".hearback-import");
    PathBuf::from(name)
}

impl Checkpoint {
    /// Opens a checkpoint. Counts are nought unless it was written for the same binding.
    ///
    /// # Errors
    /// If the file is something else than a checkpoint: it is not overwritten.
    pub(super) fn open(path: PathBuf, binding: Binding, from_start: bool) -> anyhow::Result<Self> {
        let counts = match fs::read(&path) {
            Ok(bytes) => {
                let content: Content = serde_json::from_slice(&bytes)
                    .with_context(|| format!("{} is not a checkpoint; remove it or name another", path.display()))?;
                let holds = content.binding == binding && !from_start;
                if holds { content.counts } else { Counts::default() }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Counts::default(),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        Ok(Self { path, binding, counts, is_writable: true })
    }

    /// How far the import came.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Remembers. If that cannot be done, says so once and goes on without.
    pub(super) fn save(&mut self, counts: Counts) {
        if !self.is_writable || counts == self.counts {
            return;
        }
        self.counts = counts;
        if let Err(error) = self.write() {
            self.is_writable = false;
            eprintln!("{} cannot be written ({error}): going on without a checkpoint", self.path.display());
        }
    }

    fn write(&self) -> io::Result<()> {
        let content = Content { binding: self.binding.clone(), counts: self.counts };
        let mut beside = self.path.as_os_str().to_owned();
        beside.push(".new");
        fs::write(&beside, serde_json::to_vec(&content)?)?;
        fs::rename(&beside, &self.path)
    }

    /// Forgets, at the end.
    ///
    /// # Errors
    /// If the file is there and cannot be removed.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{} cannot be removed", self.path.display()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(file: &Path, key: &str) -> Binding {
        Binding::of(Some(file), key.to_owned(), "s".to_owned()).unwrap()
    }

    #[test]
    fn it_holds_for_the_same_key_and_content_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.jsonl");
        fs::write(&file, "one").unwrap();
        let path = beside(&file);
        let counts = Counts { line: 7, accepted: 5, replayed: 1, refused: 1 };
        let open =
            |key: &str, from_start| Checkpoint::open(path.clone(), binding(&file, key), from_start).unwrap().counts();
        let mut checkpoint = Checkpoint::open(path.clone(), binding(&file, "k"), false).unwrap();
        checkpoint.save(counts);
        assert_eq!(open("k", false), counts);
        assert_eq!(open("k", true), Counts::default());
        assert_eq!(open("other", false), Counts::default());
        fs::write(&file, "two").unwrap();
        assert_eq!(open("k", false), Counts::default());
        checkpoint.finish().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_no_checkpoint_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        fs::write(&path, "not ours").unwrap();
        let binding = Binding::of(None, "k".into(), "s".into()).unwrap();
        assert!(Checkpoint::open(path.clone(), binding, false).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"not ours");
    }

    #[test]
    fn an_import_goes_on_where_no_checkpoint_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("checkpoint");
        let binding = Binding::of(None, "k".into(), "s".into()).unwrap();
        let mut checkpoint = Checkpoint::open(path, binding, false).unwrap();
        checkpoint.save(Counts { line: 1, accepted: 1, ..Counts::default() });
        checkpoint.finish().unwrap();
    }
}
