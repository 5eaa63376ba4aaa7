//! The documents that have one term.
//!
//! Most terms are rare and most postings belong to common terms, so there are three forms: a few postings within the
//! list itself; a sorted vector; and, for a common term, a vector a window, of three bytes a posting and in any order,
//! where a change costs the same wherever it falls.

/// Slots are read in windows of this many.
pub(super) const WINDOW: usize = 1 << WINDOW_BITS;
pub(super) const WINDOW_BITS: u32 = 15;

/// So many postings fit into the list itself.
const FEW: usize = 3;
/// From this many on, a list is kept by windows.
const COMMON: usize = 4_096;

/// A slot in the upper 24 bits, an impact in the lower 8.
type Posting = u32;
/// A slot within its window, little-endian, and an impact.
type Short = [u8; 3];

#[derive(Debug)]
pub(super) enum List {
    Few(u8, [Posting; FEW]),
    Sorted(Vec<Posting>),
    Windows(Box<Windows>),
}

#[derive(Debug, Default)]
pub(super) struct Windows {
    count: usize,
    windows: Vec<Vec<Short>>,
}

impl Default for List {
    fn default() -> Self {
        Self::Few(0, [0; FEW])
    }
}

impl List {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(count, _) => usize::from(*count),
            Self::Sorted(postings) => postings.len(),
            Self::Windows(common) => common.count,
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
                    *self = Self::Sorted(sorted);
                }
            }
            Self::Sorted(postings) if postings.len() < COMMON => {
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
                    *self = Self::Sorted(common.sorted());
                }
            }
        }
    }

    /// Visits the postings of one window: the slot within the window, and the impact. `at` is what the visit of the
    /// window before returned, 0 at first.
    #[inline]
    pub(super) fn for_each_in(&self, window: usize, at: usize, mut visit: impl FnMut(usize, u32)) -> usize {
        let postings = match self {
            Self::Few(count, postings) => &postings[..usize::from(*count)],
            Self::Sorted(postings) => &postings[..],
            Self::Windows(common) => {
                for &[low, high, impact] in common.windows.get(window).into_iter().flatten() {
                    visit(usize::from(u16::from_le_bytes([low, high])), u32::from(impact));
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

impl Windows {
    fn insert(&mut self, slot: u32, impact: u8) {
        let (window, [low, high]) = place(slot);
        if self.windows.len() <= window {
            self.windows.resize_with(window + 1, Vec::new);
        }
        let postings = &mut self.windows[window];
        if postings.len() == postings.capacity() {
            postings.reserve_exact(room(postings.len()));
        }
        postings.push([low, high, impact]);
        self.count += 1;
    }

    fn remove(&mut self, slot: u32) {
        let (window, [low, high]) = place(slot);
        let Some(postings) = self.windows.get_mut(window) else { return };
        if let Some(at) = postings.iter().position(|posting| posting[..2] == [low, high]) {
            // The last one moves into the gap; what stays behind the end must not outlive it.
            let last = postings.len() - 1;
            postings.swap(at, last);
            postings[last] = [0; 3];
            postings.truncate(last);
            if postings.len() < postings.capacity() / 2 {
                postings.shrink_to(postings.len() + room(postings.len()));
            }
            self.count -= 1;
        }
    }

    fn sorted(&self) -> Vec<Posting> {
        let mut sorted = Vec::with_capacity(self.count);
        for (window, postings) in self.windows.iter().enumerate() {
            sorted.extend(postings.iter().map(|&[low, high, impact]| {
                let slot = (window << WINDOW_BITS) as u32 | u32::from(u16::from_le_bytes([low, high]));
                slot << 8 | u32::from(impact)
            }));
        }
        sorted.sort_unstable();
        sorted
    }
}

fn place(slot: u32) -> (usize, [u8; 2]) {
    ((slot >> WINDOW_BITS) as usize, ((slot & (WINDOW as u32 - 1)) as u16).to_le_bytes())
}

/// How many more a full vector makes room for: a sixth, where doubling would leave a third of the memory empty.
fn room(len: usize) -> usize {
    len / 6 + 4
}
