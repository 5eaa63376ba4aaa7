//! The middles of lists, and which of them are nearest.
//!
//! Every list has its centre in a district, beside those of lists that are near. While there is one district all centres
//! are looked at; beyond that only those of the nearest districts, so that what a search and an insertion take grows with
//! the number of districts and not with the number of lists.

use super::{HEAD, Head};

/// Rounds of finding the two centres of a list that is split.
const ROUNDS: usize = 4;
/// Centres of a district at most; a fuller one is split.
const FULL: usize = 512;
/// Districts in which the list for a new vector is looked for.
const FOR_ONE: usize = 2;
/// Districts in which lists are looked for that are read; they have far more than are.
pub(super) const FOR_MANY: usize = 4;

/// A direction, by its leading numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Centre {
    pub(super) head: Head,
    /// One by the length of `head`.
    pub(super) scale: f32,
}

impl Default for Centre {
    fn default() -> Self {
        Self { head: [0; HEAD], scale: 0.0 }
    }
}

/// The centres of lists, by the lists' numbers.
#[derive(Debug, Default)]
pub(super) struct Centres {
    districts: Vec<District>,
    /// Where each list's centre is.
    places: Vec<Place>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    district: u32,
    at: u32,
}

/// Centres that are near each other: lying side by side, as all of them are looked at.
#[derive(Debug, Default)]
struct District {
    middle: Centre,
    lists: Vec<u32>,
    heads: Vec<Head>,
    scales: Vec<f32>,
}

impl District {
    fn push(&mut self, list: u32, centre: Centre) {
        self.lists.push(list);
        self.heads.push(centre.head);
        self.scales.push(centre.scale);
    }

    fn centre(&self, at: u32) -> Centre {
        Centre { head: self.heads[at as usize], scale: self.scales[at as usize] }
    }
}

impl Centres {
    /// The centre of every list, in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = Centre> {
        self.places.iter().map(|place| self.districts[place.district as usize].centre(place.at))
    }

    /// Gives the next list a centre.
    pub(super) fn push(&mut self, centre: Centre) {
        if self.districts.is_empty() {
            self.districts.push(District::default());
        }
        let nearest = self.nearest_districts(&widened(&centre.head), 1);
        let district = nearest.first().map_or(0, |&district| district as usize);
        let list = self.places.len() as u32;
        self.places.push(Place { district: 0, at: 0 });
        self.put(district, list, centre);
        if self.districts[district].lists.len() > FULL {
            self.split(district);
        }
    }

    /// Gives a list another centre, near to the one before.
    pub(super) fn set(&mut self, list: usize, centre: Centre) {
        let Place { district, at } = self.places[list];
        let district = &mut self.districts[district as usize];
        (district.heads[at as usize], district.scales[at as usize]) = (centre.head, centre.scale);
    }

    /// There are no lists any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The list whose centre is nearest, of those in the nearest districts.
    pub(super) fn nearest(&self, head: &Head) -> usize {
        let wanted = widened(head);
        let mut best = (0, f32::NEG_INFINITY);
        for district in self.nearest_districts(&wanted, FOR_ONE) {
            let District { lists, heads, scales, .. } = &self.districts[district as usize];
            let (at, near) = nearest_of(&wanted, heads, scales);
            if near > best.1 {
                best = (lists[at] as usize, near);
            }
        }
        best.0
    }

    /// Adds the lists of so many nearest districts to `near`, each with how far it is: the negative of the cosine, times
    /// what is the same for all.
    pub(super) fn around(
        &self,
        wanted: &[i16; HEAD],
        districts: usize,
        dots: &mut Vec<i32>,
        near: &mut Vec<(f32, u32)>,
    ) {
        for district in self.nearest_districts(wanted, districts) {
            let District { lists, heads, scales, .. } = &self.districts[district as usize];
            dots_of(wanted, heads, dots);
            near.extend(
                lists.iter().zip(dots.iter().zip(scales)).map(|(&list, (&dot, scale))| (-(dot as f32) * scale, list)),
            );
        }
    }

    fn put(&mut self, district: usize, list: u32, centre: Centre) {
        let home = &mut self.districts[district];
        self.places[list as usize] = Place { district: district as u32, at: home.lists.len() as u32 };
        home.push(list, centre);
    }

    fn split(&mut self, district: usize) {
        let (one, other) = two_centres(&self.districts[district].heads);
        if self.districts[district].heads.iter().all(|head| nearer_to_first(head, &one, &other)) {
            return; // Equal centres cannot be told apart: their district stays large.
        }
        let District { lists, heads, scales, .. } = std::mem::take(&mut self.districts[district]);
        let new = self.districts.len();
        self.districts.push(District { middle: other, ..District::default() });
        self.districts[district].middle = one;
        for (list, (head, scale)) in lists.into_iter().zip(heads.into_iter().zip(scales)) {
            let part = if nearer_to_first(&head, &one, &other) { district } else { new };
            self.put(part, list, Centre { head, scale });
        }
    }

    /// The districts whose middles are nearest, nearest first; all of them, if they are no more than wanted.
    fn nearest_districts(&self, wanted: &[i16; HEAD], most: usize) -> Vec<u32> {
        if self.districts.len() <= most {
            return (0..self.districts.len() as u32).collect();
        }
        let farness = |middle: &Centre| -(dot(wanted, &middle.head) as f32) * middle.scale;
        let districts = (0..).zip(&self.districts);
        let mut all: Vec<(f32, u32)> = districts.map(|(at, district)| (farness(&district.middle), at)).collect();
        all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        all.into_iter().take(most).map(|(_, district)| district).collect()
    }
}

/// In the width in which they are multiplied.
fn widened(head: &Head) -> [i16; HEAD] {
    head.map(i16::from)
}

#[inline(always)]
pub(super) fn nearer_to_first(head: &Head, one: &Centre, other: &Centre) -> bool {
    let head = widened(head);
    dot(&head, &one.head) as f32 * one.scale >= dot(&head, &other.head) as f32 * other.scale
}

/// Two centres that vectors fall into: the first of them and the one furthest from it, moved to the middles of those
/// nearer to them.
#[multiversion::multiversion(targets("x86_64+avx2"))]
pub(super) fn two_centres(heads: &[Head]) -> (Centre, Centre) {
    let centre = |head: &Head| centre(&head.map(i32::from));
    let first = centre(&heads[0]);
    let wanted = widened(&first.head);
    let nearness = |head: &Head| dot(&wanted, head) as f32 * centre(head).scale;
    let furthest = heads.iter().map(|head| (nearness(head), head)).min_by(|a, b| a.0.total_cmp(&b.0));
    let (mut one, mut other) = (first, centre(furthest.map_or(&heads[0], |(_, head)| head)));
    for _ in 0..ROUNDS {
        let mut sums = [[0_i32; HEAD]; 2];
        for head in heads {
            let sum = &mut sums[usize::from(!nearer_to_first(head, &one, &other))];
            for (sum, &number) in sum.iter_mut().zip(head) {
                *sum += i32::from(number);
            }
        }
        (one, other) = (self::centre(&sums[0]), self::centre(&sums[1]));
    }
    (one, other)
}

fn centre(sum: &[i32; HEAD]) -> Centre {
    let largest = sum.iter().map(|number| u64::from(number.unsigned_abs())).max().unwrap_or(0).max(1);
    // In whole numbers, halves away from zero.
    let scaled = |number: i32| {
        let size = ((254 * u64::from(number.unsigned_abs()) + largest) / (2 * largest)) as i8;
        if number < 0 { -size } else { size }
    };
    let head = if largest == 127 { sum.map(|number| number as i8) } else { sum.map(scaled) };
    let square: i32 = head.iter().map(|&number| i32::from(number) * i32::from(number)).sum();
    Centre { head, scale: if square == 0 { 0.0 } else { (1.0 / f64::from(square).sqrt()) as f32 } }
}

/// The products with many, by the widest registers that the processor has.
#[multiversion::multiversion(targets("x86_64+avx2"))]
pub(super) fn dots_of(one: &[i16; HEAD], heads: &[Head], dots: &mut Vec<i32>) {
    dots.clear();
    dots.extend(heads.iter().map(|head| dot(one, head)));
}

/// The first of the nearest centres, and how near it is. Many are held against the best so far together, so that the processor need not guess
/// at each.
#[multiversion::multiversion(targets("x86_64+avx2"))]
fn nearest_of(one: &[i16; HEAD], centres: &[Head], scales: &[f32]) -> (usize, f32) {
    const TOGETHER: usize = 32;
    let mut best = (0, f32::NEG_INFINITY);
    for (part, (centres, scales)) in centres.chunks(TOGETHER).zip(scales.chunks(TOGETHER)).enumerate() {
        let mut near = [f32::NEG_INFINITY; TOGETHER];
        for ((near, centre), scale) in near.iter_mut().zip(centres).zip(scales) {
            *near = dot(one, centre) as f32 * scale;
        }
        let nearest = near.iter().fold(f32::NEG_INFINITY, |most, &near| if near > most { near } else { most });
        if nearest > best.1
            && let Some(at) = near.iter().position(|&near| near == nearest)
        {
            best = (part * TOGETHER + at, nearest);
        }
    }
    best
}

/// Written so that the compiler multiplies sixteen numbers at once.
#[inline(always)]
fn dot(one: &[i16; HEAD], other: &Head) -> i32 {
    let mut sums = [0; 16];
    for (one, other) in one.as_chunks::<16>().0.iter().zip(other.as_chunks::<16>().0) {
        for (sum, (&a, &b)) in sums.iter_mut().zip(one.iter().zip(other)) {
            *sum += i32::from(a) * i32::from(i16::from(b));
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_centre_is_rounded_like_any_number() {
        for largest in 1..=300 {
            let mut sum = [0; HEAD];
            sum[0] = largest;
            for number in -largest..=largest {
                sum[1] = number;
                let rounded = (f64::from(number) * 127.0 / f64::from(largest)).round();
                assert_eq!(f64::from(centre(&sum).head[1]), rounded, "{number} of {largest}");
            }
        }
    }

    #[test]
    fn of_many_centres_the_nearest_is_found_in_few_districts() {
        let mut state = 1_u64;
        let mut draw = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as i8
        };
        let themes: Vec<Head> = (0..30).map(|_| std::array::from_fn(|_| draw() / 2)).collect();
        let mut centres = Centres::default();
        let all: Vec<Centre> = (0..5_000)
            .map(|n| centre(&themes[n % themes.len()].map(|number| i32::from(number) * 2 + i32::from(draw() / 2))))
            .collect();
        all.iter().for_each(|&centre| centres.push(centre));
        assert!(centres.districts.len() > FOR_MANY && centres.districts.iter().all(|one| one.lists.len() <= FULL));
        assert!(centres.iter().eq(all.iter().copied()), "each list has its own");
        centres.set(7, all[8]);
        assert_eq!(centres.iter().nth(7), Some(all[8]));
        centres.set(7, all[7]);
        let scales: Vec<f32> = all.iter().map(|centre| centre.scale).collect();
        let heads: Vec<Head> = all.iter().map(|centre| centre.head).collect();
        let (mut found, mut among) = (0, 0);
        for wanted in all.iter().step_by(50) {
            let wanted = centre(&wanted.head.map(|number| i32::from(number) * 3 + i32::from(draw() / 2))).head;
            let (exactly, _) = nearest_of(&widened(&wanted), &heads, &scales);
            found += usize::from(centres.nearest(&wanted) == exactly);
            let (mut dots, mut near) = (Vec::new(), Vec::new());
            centres.around(&widened(&wanted), FOR_MANY, &mut dots, &mut near);
            among += usize::from(near.iter().any(|&(_, list)| list as usize == exactly));
        }
        assert!(found >= 90 && among >= 97, "{found} and {among} of 100");
    }
}
