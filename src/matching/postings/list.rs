//! The documents that have one term.
//!
//! Most terms are rare and most postings belong to common terms, so there are three forms: a few postings within the
//! list itself; a sorted vector; and, for a term that is common, a vector a window, of two bytes a posting: how far it is
//! from the one before, and its impact. Where that does not fit into a byte, postings without impact stand between.

use std::io::{self, Read, Write};

use crate::matching::SnapshotError;
use crate::matching::snapshot::frames::{In, Out};

/// Slots are read in windows of this many.
pub(super) const WINDOW: usize = 1 << WINDOW_BITS;
pub(super) const WINDOW_BITS: u32 = 15;

/// So many postings fit into the list itself.
const FEW: usize = 3;
/// From this many on, a list is kept by windows, if at least one slot in so many is in it.
const COMMON: usize = 1_024;
const DENSE: usize = 160;

/// A slot in the upper 24 bits, an impact in the lower 8.
type Posting = u32;
/// How far a slot is from the one before in its window, or from the window's first slot; and an impact, or 0 where
/// nothing is.
type Step = [u8; 2];
/// The longest way that fits into a step.
const FAR: u8 = u8::MAX;

#[derive(Debug)]
pub(super) enum List {
    Few(u8, [Posting; FEW]),
    // A vector itself would make every list larger, and most are of the first form.
    #[allow(clippy::box_collection)]
    Sorted(Box<Vec<Posting>>),
    Windows(Box<Windows>),
}

#[derive(Debug, Default)]
pub(super) struct Windows {
    count: usize,
    windows: Vec<Window>,
}

#[derive(Debug, Default)]
struct Window {
    steps: Vec<Step>,
    /// The slot of the last step.
    last: u16,
    /// No impact is greater.
    most: u8,
}

impl Default for List {
    fn default() -> Self {
        Self::Few(0, [0; FEW])
    }
}

/// How lists begin in a snapshot: the number of postings up to [`FEW`], or what form they have.
const SORTED: u8 = 254;
const WINDOWS: u8 = 255;

impl List {
    pub(super) fn save(&self, out: &mut Out<impl Write>) -> io::Result<()> {
        match self {
            Self::Few(count, postings) => {
                out.u8(*count)?;
                postings[..usize::from(*count)].iter().try_for_each(|&posting| out.u32(posting))
            }
            Self::Sorted(postings) => {
                out.u8(SORTED)?;
                out.count(postings.len())?;
                postings.iter().try_for_each(|&posting| out.u32(posting))
            }
            Self::Windows(common) => {
                out.u8(WINDOWS)?;
                out.count(common.windows.len())?;
                for window in &common.windows {
                    out.count(window.steps.len())?;
                    out.bytes(window.steps.as_flattened())?;
                }
                Ok(())
            }
        }
    }

    /// Reads a list whose slots all hold for `is_shown`.
    pub(super) fn load(input: &mut In<impl Read>, is_shown: impl Fn(u32) -> bool) -> Result<Self, SnapshotError> {
        let wrong = || SnapshotError::Damaged("a list of postings is not in order");
        match input.u8()? {
            WINDOWS => {
                let mut common = Windows::default();
                for at in 0..input.count(1 << (24 - WINDOW_BITS))? {
                    let mut steps = vec![[0; 2]; input.count(WINDOW)?];
                    input.fill(steps.as_flattened_mut())?;
                    let (mut slot, mut most) = (0, 0);
                    for &[step, impact] in &steps {
                        slot += u32::from(step);
                        most = impact.max(most);
                        common.count += usize::from(impact > 0);
                        if impact > 0 && !is_shown((at << WINDOW_BITS) as u32 + slot) {
                            return Err(wrong());
                        }
                    }
                    let is_right = steps.last().is_none_or(|&[_, impact]| impact > 0)
                        && steps.iter().skip(1).all(|&[step, _]| step > 0);
                    let last = u16::try_from(slot).ok().filter(|&slot| is_right && usize::from(slot) < WINDOW);
                    common.windows.push(Window { steps, last: last.ok_or_else(wrong)?, most });
                }
                Ok(Self::Windows(Box::new(common)))
            }
            form => {
                let count = match form {
                    SORTED => input.count(1 << 24)?,
                    few => usize::from(few),
                };
                let mut postings = Vec::with_capacity(count);
                for _ in 0..count {
                    postings.push(input.u32()?);
                }
                let holds = |&posting: &Posting| posting & 0xff > 0 && is_shown(posting >> 8);
                let is_in_order = postings.is_sorted_by(|one, other| one >> 8 < other >> 8);
                if !is_in_order || !postings.iter().all(holds) || form != SORTED && count > FEW {
                    return Err(wrong());
                }
                if form == SORTED {
                    return Ok(Self::Sorted(Box::new(postings)));
                }
                let mut few = [0; FEW];
                few[..count].copy_from_slice(&postings);
                Ok(Self::Few(count as u8, few))
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(count, _) => usize::from(*count),
            Self::Sorted(postings) => postings.len(),
            Self::Windows(common) => common.count,
        }
    }

    /// The greatest impact that a posting of a window can have.
    pub(super) fn most_in(&self, window: usize) -> u32 {
        match self {
            Self::Few(..) | Self::Sorted(_) => u32::from(u8::MAX),
            Self::Windows(common) => common.windows.get(window).map_or(0, |window| u32::from(window.most)),
        }
    }

    /// Adds a slot that is not in the list.
    pub(super) fn insert(&mut self, slot: u32, impact: u8) {
        let posting = slot << 8 | u32::from(impact);
        match self {
            Self::Few(count, postings) => {
                let used = usize::from(*count);
                let at = postings[..used].partition_point(|&other| other < posting);
                if used < FEW {
                    postings[at..=used].rotate_right(1);
                    postings[at] = posting;
                    *count += 1;
                } else {
                    let mut sorted = Vec::with_capacity(2 * FEW);
                    sorted.extend_from_slice(postings);
                    sorted.insert(at, posting);
                    *self = Self::Sorted(Box::new(sorted));
                }
            }
            Self::Sorted(postings) if !is_common(postings) => {
                if postings.len() == postings.capacity() {
                    postings.reserve_exact(room(postings.len()));
                }
                // New slots are mostly the highest.
                match postings.last() {
                    Some(&last) if last > posting => {
                        let at = postings.partition_point(|&other| other < posting);
                        postings.insert(at, posting);
                    }
                    _ => postings.push(posting),
                }
            }
            Self::Sorted(postings) => {
                let mut common = Windows::default();
                for &other in postings.iter() {
                    common.insert(other >> 8, other as u8);
                }
                common.insert(slot, impact);
                *self = Self::Windows(Box::new(common));
            }
            Self::Windows(common) => common.insert(slot, impact),
        }
    }

    /// Takes a slot out. One that is not in the list is left alone.
    pub(super) fn remove(&mut self, slot: u32) {
        match self {
            Self::Few(count, postings) => {
                let used = usize::from(*count);
                if let Some(at) = postings[..used].iter().position(|&posting| posting >> 8 == slot) {
                    postings[at..used].rotate_left(1);
                    postings[used - 1] = 0;
                    *count -= 1;
                }
            }
            Self::Sorted(postings) => {
                let at = postings.partition_point(|&posting| posting >> 8 < slot);
                if postings.get(at).is_some_and(|&posting| posting >> 8 == slot) {
                    postings.remove(at);
                }
                if postings.len() <= FEW {
                    let mut few = [0; FEW];
                    few[..postings.len()].copy_from_slice(postings);
                    *self = Self::Few(postings.len() as u8, few);
                } else if postings.len() < postings.capacity() / 2 {
                    postings.shrink_to(postings.len() + room(postings.len()));
                }
            }
            Self::Windows(common) => {
                common.remove(slot);
                // Well below the border, so that a list at the border does not change its form again and again.
                if common.count < COMMON / 2 {
                    *self = Self::Sorted(Box::new(common.sorted()));
                }
            }
        }
    }

    /// Visits the postings of one window: the slot within the window, and the impact; 0 where nothing is. `at` is what
    /// the visit of the window before returned, 0 at first.
    #[inline]
    pub(super) fn for_each_in(&self, window: usize, at: usize, mut visit: impl FnMut(usize, u32)) -> usize {
        let postings = match self {
            Self::Few(count, postings) => &postings[..usize::from(*count)],
            Self::Sorted(postings) => &postings[..],
            Self::Windows(common) => {
                let Some(window) = common.windows.get(window) else { return 0 };
                let mut slot = 0;
                for &[step, impact] in &window.steps {
                    slot += usize::from(step);
                    visit(slot, u32::from(impact));
                }
                return 0;
            }
        };
        let mut next = at;
        for &posting in &postings[at..] {
            if posting >> (8 + WINDOW_BITS) != window as u32 {
                break;
            }
            visit((posting >> 8) as usize & (WINDOW - 1), posting & 0xff);
            next += 1;
        }
        next
    }
}

/// Whether a list is long and dense enough to be kept by windows.
fn is_common(postings: &[Posting]) -> bool {
    postings.len() >= COMMON && postings.last().is_some_and(|last| (last >> 8) as usize <= postings.len() * DENSE)
}

impl Windows {
    fn insert(&mut self, slot: u32, impact: u8) {
        let (window, slot) = place(slot);
        if self.windows.len() <= window {
            if let Some(last) = self.windows.last_mut() {
                last.steps.shrink_to_fit();
            }
            self.windows.resize_with(window + 1, Window::default);
        }
        self.windows[window].insert(slot, impact);
        self.count += 1;
    }

    fn remove(&mut self, slot: u32) {
        let (window, slot) = place(slot);
        self.count -= usize::from(self.windows.get_mut(window).is_some_and(|window| window.remove(slot)));
    }

    fn sorted(&self) -> Vec<Posting> {
        let mut sorted = Vec::with_capacity(self.count);
        for (at, window) in self.windows.iter().enumerate() {
            let mut slot = (at << WINDOW_BITS) as u32;
            for &[step, impact] in &window.steps {
                slot += u32::from(step);
                if impact > 0 {
                    sorted.push(slot << 8 | u32::from(impact));
                }
            }
        }
        sorted
    }
}

impl Window {
    /// The first step at or behind a slot, and the slot before that step.
    fn find(&self, slot: u16) -> (usize, u16) {
        let mut before = 0;
        for (at, &[step, _]) in self.steps.iter().enumerate() {
            let next = before + u16::from(step);
            if next >= slot {
                return (at, before);
            }
            before = next;
        }
        (self.steps.len(), before)
    }

    fn make_room(&mut self) {
        if self.steps.len() == self.steps.capacity() {
            self.steps.reserve_exact(room(self.steps.len()));
        }
    }

    /// Adds a slot that is not there.
    fn insert(&mut self, slot: u16, impact: u8) {
        self.most = self.most.max(impact);
        self.make_room();
        if self.steps.is_empty() || slot > self.last {
            // The last slot is 0 where there is none.
            let mut way = slot - self.last;
            while way > u16::from(FAR) {
                self.steps.push([FAR, 0]);
                way -= u16::from(FAR);
                self.make_room();
            }
            self.steps.push([way as u8, impact]);
            self.last = slot;
            return;
        }
        let (at, before) = self.find(slot);
        let way = slot - before;
        let [step, _] = &mut self.steps[at];
        if u16::from(*step) == way {
            self.steps[at][1] = impact;
        } else {
            *step -= way as u8;
            self.steps.insert(at, [way as u8, impact]);
        }
    }

    /// Takes a slot out; answers whether it was there.
    fn remove(&mut self, slot: u16) -> bool {
        let (at, before) = self.find(slot);
        let Some(&[way, impact]) = self.steps.get(at) else { return false };
        if before + u16::from(way) != slot || impact == 0 {
            return false;
        }
        self.steps[at][1] = 0;
        if let Some([next, _]) = self.steps.get_mut(at + 1)
            && let Some(both) = next.checked_add(way)
        {
            *next = both;
            self.steps.remove(at);
        }
        // No way leads beyond the last posting.
        while let Some(&[way, 0]) = self.steps.last() {
            self.last -= u16::from(way);
            self.steps.pop();
        }
        if self.steps.len() < self.steps.capacity() / 2 {
            self.steps.shrink_to(self.steps.len() + room(self.steps.len()));
        }
        true
    }
}

fn place(slot: u32) -> (usize, u16) {
    ((slot >> WINDOW_BITS) as usize, (slot & (WINDOW as u32 - 1)) as u16)
}

/// How many more a full vector makes room for: a sixth, where doubling would leave a third of the memory empty.
fn room(len: usize) -> usize {
    len / 6 + 4
}
