//! What is wrong with an input: collected, so that the caller learns everything at once.

/// One wrong field, with its remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field in the request, as in `report.reporter.contact_points[0].address`.
    pub field: String,
    /// What is wrong and how to put it right.
    pub description: String,
}

/// Violations gathered while a request is read. A message can have a wrong field in every other byte, so only the first
/// [`MAX_KEPT`] are kept; the rest is counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations {
    kept: Vec<Violation>,
    count: usize,
}

/// Nobody puts more right at once.
const MAX_KEPT: usize = 100;

impl Violations {
    /// Nothing wrong so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes one.
    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.count += 1;
        if self.kept.len() < MAX_KEPT {
            self.kept.push(Violation { field: field.into(), description: description.into() });
        }
    }

    /// Notes what else is wrong, but not about fields of which something is known to be wrong, nor about what they are in
    /// or what is in them: what could not be read counts as sent.
    pub fn add_others(&mut self, others: &Self) {
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let known: Vec<String> = self.kept.iter().map(|violation| violation.field.clone()).collect();
        let is_other = |field: &str| !known.iter().any(|known| within(known, field) || within(field, known));
        for other in others.iter().filter(|other| is_other(&other.field)) {
            self.add(&other.field, &other.description);
        }
    }

    /// True if nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// `Ok` if nothing is wrong.
    pub fn into_result(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }

    /// What is wrong, in the order found, as far as it was kept.
    pub fn iter(&self) -> std::slice::Iter<'_, Violation> {
        self.kept.iter()
    }

    /// How much is wrong.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Checks a text that may be empty: at most `max` characters and no NUL, which Postgres cannot store.
    pub fn text(&mut self, field: &str, value: &str, max: usize) {
        let length = value.chars().count();
        if length > max {
            self.add(field, format!("has {length} characters; send at most {max}"));
        }
        if value.contains('\0') {
            self.add(field, "contains a NUL character; remove it");
        }
    }

    /// Checks a text that must be there.
    pub fn required_text(&mut self, field: &str, value: &str, max: usize) {
        if value.trim().is_empty() {
            self.add(field, "is required; set it");
        } else {
            self.text(field, value, max);
        }
    }

    /// Checks a name of the kind `a-z 0-9 . _ -`, at most 64 characters.
    pub fn name(&mut self, field: &str, value: &str) {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        if value.is_empty() {
            self.add(field, "is required; set it");
        } else if value.len() > 64 || !value.chars().all(allowed) {
            self.add(field, "must be 1 to 64 characters of a-z, 0-9, '.', '_' and '-'");
        }
    }
}

/// The path of a field of the message at `path`; that of the request itself is empty.
pub fn field_path(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

impl From<Violation> for Violations {
    fn from(violation: Violation) -> Self {
        Self { kept: vec![violation], count: 1 }
    }
}

impl std::fmt::Display for Violations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, violation) in self.kept.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{} {}", violation.field, violation.description)?;
        }
        match self.count - self.kept.len() {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_is_not_missing_too() {
        let fields = |fields: &[&str]| {
            let mut violations = Violations::new();
            fields.iter().for_each(|&field| violations.add(field, "is wrong"));
            violations
        };
        let mut read = fields(&["report.reporter.customer_id", "labels"]);
        read.add_others(&fields(&["report.reporter", "report.report", "labels[0].key", "labels_too"]));
        let named: Vec<&str> = read.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(named, ["report.reporter.customer_id", "labels", "report.report", "labels_too"]);
    }

    #[test]
    fn every_wrong_field_is_named() {
        let mut violations = Violations::new();
        violations.required_text("title", "  ", 10);
        violations.text("body", "much too long", 4);
        violations.name("source", "Zendesk!");
        violations.text("label", "a\0b", 10);
        let fields: Vec<_> = violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["title", "body", "source", "label"]);
    }

    #[test]
    fn what_is_wrong_without_end_is_counted_and_not_kept() {
        let mut violations = Violations::new();
        for index in 0..MAX_KEPT + 7 {
            violations.add(format!("ids[{index}]"), "is required; set it");
        }
        assert_eq!((violations.iter().count(), violations.count()), (MAX_KEPT, MAX_KEPT + 7));
        assert!(violations.to_string().ends_with("; and 7 more"));
    }
}
