//! Bytes in frames of about a mebibyte, each with its length and a checksum, so that whoever reads never looks at a byte
//! that is not as it was written. A frame without bytes is the end.

use std::io::{self, Read, Write};

use super::SnapshotError;

/// A frame is closed when it has so many bytes.
const FRAME: usize = 1 << 20;
/// No frame has more.
const LONGEST: usize = 2 * FRAME;

/// A checksum that knows the frame's place as well.
fn checksum(number: u32, frame: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(&(frame.len() as u32).to_le_bytes());
    hasher.update(frame);
    hasher.finalize()
}

/// Where a snapshot is written.
pub(in crate::matching) struct Out<W: Write> {
    to: W,
    frame: Vec<u8>,
    number: u32,
}

impl<W: Write> Out<W> {
    pub(in crate::matching) fn new(to: W) -> Self {
        Self { to, frame: Vec::with_capacity(FRAME), number: 0 }
    }

    fn close(&mut self) -> io::Result<()> {
        self.to.write_all(&(self.frame.len() as u32).to_le_bytes())?;
        self.to.write_all(&checksum(self.number, &self.frame).to_le_bytes())?;
        self.to.write_all(&self.frame)?;
        self.number += 1;
        self.frame.clear();
        Ok(())
    }

    #[inline]
    pub(in crate::matching) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while self.frame.len() + rest.len() >= FRAME {
            let (now, later) = rest.split_at((FRAME - self.frame.len()).min(rest.len()));
            self.frame.extend_from_slice(now);
            self.close()?;
            rest = later;
        }
        self.frame.extend_from_slice(rest);
        Ok(())
    }

    pub(in crate::matching) fn u8(&mut self, number: u8) -> io::Result<()> {
        self.bytes(&[number])
    }

    pub(in crate::matching) fn u16(&mut self, number: u16) -> io::Result<()> {
        self.bytes(&number.to_le_bytes())
    }

    pub(in crate::matching) fn u32(&mut self, number: u32) -> io::Result<()> {
        self.bytes(&number.to_le_bytes())
    }

    pub(in crate::matching) fn u64(&mut self, number: u64) -> io::Result<()> {
        self.bytes(&number.to_le_bytes())
    }

    /// How many follow.
    pub(in crate::matching) fn count(&mut self, count: usize) -> io::Result<()> {
        self.u64(count as u64)
    }

    /// Ends the snapshot.
    pub(in crate::matching) fn end(mut self) -> io::Result<()> {
        if !self.frame.is_empty() {
            self.close()?;
        }
        self.close()?;
        self.to.flush()
    }
}

/// Where a snapshot is read.
pub(in crate::matching) struct In<R: Read> {
    from: R,
    frame: Vec<u8>,
    at: usize,
    number: u32,
}

impl<R: Read> In<R> {
    pub(in crate::matching) fn new(from: R) -> Self {
        Self { from, frame: Vec::new(), at: 0, number: 0 }
    }

    /// Reads the next frame; an empty one is the end.
    fn open(&mut self) -> Result<(), SnapshotError> {
        let mut word = [0; 4];
        self.from.read_exact(&mut word)?;
        let length = u32::from_le_bytes(word) as usize;
        if length > LONGEST {
            return Err(SnapshotError::Damaged("a frame is too long"));
        }
        self.from.read_exact(&mut word)?;
        self.frame.resize(length, 0);
        self.from.read_exact(&mut self.frame)?;
        if checksum(self.number, &self.frame) != u32::from_le_bytes(word) {
            return Err(SnapshotError::Damaged("a checksum differs"));
        }
        self.number += 1;
        self.at = 0;
        Ok(())
    }

    #[inline]
    pub(in crate::matching) fn fill(&mut self, bytes: &mut [u8]) -> Result<(), SnapshotError> {
        let mut filled = 0;
        while filled < bytes.len() {
            if self.at == self.frame.len() {
                self.open()?;
                if self.frame.is_empty() {
                    return Err(SnapshotError::Damaged("it ends too early"));
                }
            }
            let some = (bytes.len() - filled).min(self.frame.len() - self.at);
            bytes[filled..filled + some].copy_from_slice(&self.frame[self.at..self.at + some]);
            (self.at, filled) = (self.at + some, filled + some);
        }
        Ok(())
    }

    #[inline]
    pub(in crate::matching) fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(in crate::matching) fn u8(&mut self) -> Result<u8, SnapshotError> {
        self.array().map(|[byte]| byte)
    }

    pub(in crate::matching) fn u16(&mut self) -> Result<u16, SnapshotError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(in crate::matching) fn u32(&mut self) -> Result<u32, SnapshotError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(in crate::matching) fn u64(&mut self) -> Result<u64, SnapshotError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(in crate::matching) fn f32(&mut self) -> Result<f32, SnapshotError> {
        let number = f32::from_bits(self.u32()?);
        if number.is_finite() { Ok(number) } else { Err(SnapshotError::Damaged("a number is none")) }
    }

    /// How many follow, at most so many.
    pub(in crate::matching) fn count(&mut self, most: usize) -> Result<usize, SnapshotError> {
        let count = usize::try_from(self.u64()?).unwrap_or(usize::MAX);
        if count > most { Err(SnapshotError::Damaged("a count is too great")) } else { Ok(count) }
    }

    /// Nothing may follow.
    pub(in crate::matching) fn end(mut self) -> Result<(), SnapshotError> {
        if self.at < self.frame.len() {
            return Err(SnapshotError::Damaged("more follows than should"));
        }
        self.open()?;
        if self.frame.is_empty() { Ok(()) } else { Err(SnapshotError::Damaged("more follows than should")) }
    }
}
