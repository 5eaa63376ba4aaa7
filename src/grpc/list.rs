//! What every list of the API asks for: a page, a filter and an order, with everything wrong in it named at once.

use serde::de::DeserializeOwned;

use crate::app::Error;
use crate::domain::filter::{self, Operator, Term};
use crate::domain::violation::Violations;
use crate::store::{Direction, Page};

use super::page_token;

/// Most bytes of a page's items: clients refuse messages of more than 4 MiB unless told otherwise.
const PAGE_BYTES: usize = 3_500_000;
/// The best of a ranking that are answered unless another number is asked for, and the most.
const BEST: usize = 10;
const MOST: usize = 50;
/// What the tag and the length of an item take at most.
const ITEM_OVERHEAD: usize = 10;

/// The four fields that every list request has.
pub(crate) struct ListFields<'a> {
    /// The list, as its page tokens name it.
    pub(crate) list: &'static str,
    /// As sent.
    pub(crate) page_size: i32,
    /// As sent.
    pub(crate) page_token: &'a str,
    /// As sent.
    pub(crate) filter: &'a str,
    /// As sent.
    pub(crate) order_by: &'a str,
}

/// Reads the page that a list without filter and order is asked for: its size, and the key to continue after. `of` is
/// what the list belongs to, if anything.
pub(crate) fn read_page<K: DeserializeOwned>(
    list: &str,
    of: &str,
    page_size: i32,
    page_token: &str,
    violations: &mut Violations,
) -> (u64, Option<K>) {
    let size = keep(page_token::page_size(page_size), violations).unwrap_or_default();
    let after = keep(page_token::decode(list, of, "", page_token), violations).flatten();
    (size, after)
}

/// The terms of a filter.
pub(crate) fn read_terms(filter: &str, violations: &mut Violations) -> Vec<Term> {
    filter::parse(filter).unwrap_or_else(|error| {
        violations.add("filter", error.to_string());
        Vec::new()
    })
}

/// How many of the best are wanted, where there is no next page: 10 unless said, at most 50.
pub(crate) fn read_limit(field: &str, count: i32, violations: &mut Violations) -> usize {
    match usize::try_from(count) {
        Ok(0) => BEST,
        Ok(count) => count.min(MOST),
        Err(_) => {
            violations.add(field, format!("is negative; send 0 to {MOST}"));
            BEST
        }
    }
}

/// What a list is asked for.
pub(crate) struct Asked<K> {
    /// Rows of the page.
    pub(crate) size: u64,
    /// The key of the last row that the caller has.
    pub(crate) after: Option<K>,
    /// By `create_time`.
    pub(crate) direction: Direction,
    /// The terms of the filter.
    pub(crate) terms: Vec<Term>,
}

impl ListFields<'_> {
    /// Reads a list that is ordered by `create_time` alone, newest first unless asked otherwise.
    pub(crate) fn read<K: DeserializeOwned>(&self, violations: &mut Violations) -> Asked<K> {
        let size = keep(page_token::page_size(self.page_size), violations).unwrap_or_default();
        let after = page_token::decode(self.list, self.filter, self.order_by, self.page_token);
        let terms = read_terms(self.filter, violations);
        let direction = match self.order_by.split_whitespace().collect::<Vec<_>>()[..] {
            [] | ["create_time", "desc"] => Direction::Descending,
            ["create_time"] | ["create_time", "asc"] => Direction::Ascending,
            _ => {
                violations.add("order_by", "is not an order of this list; send `create_time desc` or `create_time`");
                Direction::Descending
            }
        };
        Asked { size, after: keep(after, violations).flatten(), direction, terms }
    }

    /// The token of the next page.
    pub(crate) fn next<K: serde::Serialize>(&self, next: Option<K>) -> String {
        page_token::encode(self.list, self.filter, self.order_by, next)
    }
}

/// A page for the wire, and the key that the next one continues after. It ends early where it would become larger than
/// clients take, so that long texts cost more pages and never fail; one item it always has.
pub(crate) fn encode_page<T, K, M: prost::Message>(
    page: Page<T, K>,
    key: impl Fn(&T) -> K,
    mut encode: impl FnMut(T) -> M,
) -> (Vec<M>, Option<K>) {
    let mut messages = Vec::with_capacity(page.items.len());
    let mut room = PAGE_BYTES;
    let mut last = None;
    for item in page.items {
        let key = key(&item);
        let message = encode(item);
        let size = message.encoded_len() + ITEM_OVERHEAD;
        if size > room && !messages.is_empty() {
            return (messages, last);
        }
        room = room.saturating_sub(size);
        messages.push(message);
        last = Some(key);
    }
    (messages, page.next)
}

/// The value, or what is wrong noted.
fn keep<T>(value: Result<T, Error>, violations: &mut Violations) -> Option<T> {
    let error = match value {
        Ok(value) => return Some(value),
        Err(error) => error,
    };
    for violation in super::status::violations(&error).iter() {
        violations.add(&violation.field, &violation.description);
    }
    None
}

/// Reads one term `field = value` into its place. `read` says what the value must be if it is not.
pub(crate) fn equal<T>(
    term: &Term,
    place: &mut Option<T>,
    read: impl FnOnce(&str) -> Result<T, String>,
    violations: &mut Violations,
) {
    let field = &term.field;
    if term.operator != Operator::Equal {
        violations.add("filter", format!("{field} knows only =; write {field} = {}", term.value));
    } else if place.is_some() {
        violations.add("filter", format!("names {field} twice; name it once"));
    } else {
        match read(&term.value) {
            Ok(value) => *place = Some(value),
            Err(expected) => violations.add("filter", format!("{field} must be {expected}, not {:?}", term.value)),
        }
    }
}

/// Notes a field that a list does not know.
pub(crate) fn unknown_field(term: &Term, known: &str, violations: &mut Violations) {
    violations.add("filter", format!("{:?} is no field of this list; filter by {known}", term.field));
}

/// For [`equal`]: any text.
pub(crate) fn any_text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// For [`equal`]: an id.
pub(crate) fn any_id<T: std::str::FromStr<Err = crate::domain::id::ParseIdError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: crate::domain::id::ParseIdError| format!("an id of the form {}_…", error.prefix))
}

/// For [`equal`]: one of an enum's texts.
pub(crate) fn any_of<T>(all: &'static [T]) -> impl FnOnce(&str) -> Result<T, String>
where
    T: std::fmt::Display + std::str::FromStr,
{
    move |text| {
        text.parse().map_err(|_| {
            let texts: Vec<String> = all.iter().map(T::to_string).collect();
            format!("one of {}", texts.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(page_size: i32, filter: &str, order_by: &str) -> (Asked<i64>, Violations) {
        let mut violations = Violations::new();
        let fields = ListFields { list: "things", page_size, page_token: "", filter, order_by };
        (fields.read(&mut violations), violations)
    }

    #[test]
    fn a_list_is_newest_first_unless_asked_otherwise() {
        assert_eq!(asked(0, "", "").0.direction, Direction::Descending);
        assert_eq!(asked(0, "", "create_time").0.direction, Direction::Ascending);
        assert_eq!(asked(0, "", " create_time  desc ").0.direction, Direction::Descending);
    }

    #[test]
    fn a_page_ends_where_it_would_become_too_large_and_the_next_one_goes_on_there() {
        let page = |sizes: &[usize], next| {
            let items = sizes.iter().copied().enumerate().collect();
            let (texts, next) = encode_page(Page { items, next }, |item| item.0, |(_, size)| "x".repeat(size));
            (texts.len(), next)
        };
        assert_eq!(page(&[], None), (0, None));
        assert_eq!(page(&[1, 1], None), (2, None));
        assert_eq!(page(&[1, 1], Some(1)), (2, Some(1)));
        assert_eq!(page(&[PAGE_BYTES / 2, PAGE_BYTES / 3, PAGE_BYTES / 3], None), (2, Some(1)));
        assert_eq!(page(&[2 * PAGE_BYTES, 1], None), (1, Some(0)));
        assert_eq!(page(&[2 * PAGE_BYTES], None), (1, None), "what is too large for any page is not left out");
    }

    #[test]
    fn everything_wrong_with_a_list_is_named_at_once() {
        let (_, violations) = asked(-1, "state <", "title");
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["page_size", "filter", "order_by"]);
    }

    #[test]
    fn a_term_says_what_it_should_have_been() {
        let (asked, mut violations) = asked(0, "a >= 1 AND b = x AND b = 2 AND b = 3", "");
        let number = |text: &str| text.parse::<i32>().map_err(|_| "a number".to_owned());
        let (mut a, mut b) = (None, None);
        for term in &asked.terms {
            equal(term, if term.field == "a" { &mut a } else { &mut b }, number, &mut violations);
        }
        assert_eq!((a, b), (None, Some(2)));
        let described: Vec<_> = violations.iter().map(|violation| violation.description.as_str()).collect();
        assert_eq!(
            described,
            ["a knows only =; write a = 1", "b must be a number, not \"x\"", "names b twice; name it once"]
        );
    }
}
