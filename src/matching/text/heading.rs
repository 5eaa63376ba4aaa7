//! Headings of issue templates: they say what follows, and are no words of the report.

use super::Zone;

/// What follows a heading, by its name in lower case. Lines under a name that is not here stay as they are.
const NAMES: &[(&str, Zone)] = &[
    ("actual", Zone::Prose),
    ("actual behavior", Zone::Prose),
    ("actual behaviour", Zone::Prose),
    ("actual output", Zone::Prose),
    ("actual result", Zone::Prose),
    ("actual results", Zone::Prose),
    ("additional context", Zone::Prose),
    ("additional info", Zone::Prose),
    ("additional information", Zone::Prose),
    ("attachments", Zone::Prose),
    ("background", Zone::Prose),
    ("browser", Zone::Environment),
    ("bug description", Zone::Prose),
    ("build", Zone::Environment),
    ("current behavior", Zone::Prose),
    ("current behaviour", Zone::Prose),
    ("describe the bug", Zone::Prose),
    ("description", Zone::Prose),
    ("details", Zone::Prose),
    ("device", Zone::Environment),
    ("devices", Zone::Environment),
    ("environment", Zone::Environment),
    ("expected", Zone::Expected),
    ("expected behavior", Zone::Expected),
    ("expected behaviour", Zone::Expected),
    ("expected output", Zone::Expected),
    ("expected result", Zone::Expected),
    ("expected results", Zone::Expected),
    ("how to reproduce", Zone::Steps),
    ("how to reproduce the issue", Zone::Steps),
    ("issue", Zone::Prose),
    ("issue description", Zone::Prose),
    ("logs", Zone::Prose),
    ("note", Zone::Prose),
    ("notes", Zone::Prose),
    ("observed", Zone::Prose),
    ("observed behavior", Zone::Prose),
    ("operating system", Zone::Environment),
    ("os", Zone::Environment),
    ("overview", Zone::Prose),
    ("platform", Zone::Environment),
    ("platforms", Zone::Environment),
    ("problem", Zone::Prose),
    ("problem description", Zone::Prose),
    ("repro", Zone::Steps),
    ("repro steps", Zone::Steps),
    ("reproduce", Zone::Steps),
    ("reproduction", Zone::Steps),
    ("reproduction steps", Zone::Steps),
    ("result", Zone::Prose),
    ("results", Zone::Prose),
    ("sample code", Zone::Prose),
    ("screenshot", Zone::Prose),
    ("screenshots", Zone::Prose),
    ("sdk version", Zone::Environment),
    ("stack trace", Zone::Prose),
    ("stacktrace", Zone::Prose),
    ("step to reproduce", Zone::Steps),
    ("steps", Zone::Steps),
    ("steps to recreate", Zone::Steps),
    ("steps to reproduce", Zone::Steps),
    ("steps to reproduce the issue", Zone::Steps),
    ("steps to reproduce the problem", Zone::Steps),
    ("summary", Zone::Prose),
    ("system info", Zone::Environment),
    ("system information", Zone::Environment),
    ("test case", Zone::Prose),
    ("test code", Zone::Prose),
    ("test environment", Zone::Environment),
    ("test steps", Zone::Steps),
    ("tested on", Zone::Environment),
    ("to reproduce", Zone::Steps),
    ("version", Zone::Environment),
    ("versions", Zone::Environment),
    ("what did you expect", Zone::Expected),
    ("what happened", Zone::Prose),
    ("what happens", Zone::Prose),
    ("what should happen", Zone::Expected),
    ("your environment", Zone::Environment),
];

/// The longest name and some air.
const MAX_NAME: usize = 40;

/// A heading: what is under it, and what stands on its own line behind it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heading<'a> {
    pub(super) zone: Zone,
    pub(super) content: &'a str,
}

/// A line without its list marker or heading mark: `h3. `, `## `, `1. `, `* `.
pub(super) fn without_mark(line: &str) -> &str {
    let bytes = line.as_bytes();
    match *bytes {
        [b'h', b'1'..=b'6', b'.', ..] => line[3..].trim_start(),
        [b'0'..=b'9', b'.' | b')', b' ' | b'\t' | b'A'..=b'Z', ..] => line[2..].trim_start(),
        [b'0'..=b'9', b'0'..=b'9', b'.' | b')', b' ' | b'\t' | b'A'..=b'Z', ..] => line[3..].trim_start(),
        [b'#' | b'*' | b'-', ..] => {
            let rest = line.trim_start_matches(['#', '*', '-']);
            if rest.starts_with([' ', '\t']) { rest.trim_start() } else { line }
        }
        _ => line,
    }
}

/// Reads a line, already without its mark, as a heading.
pub(super) fn heading(line: &str) -> Option<Heading<'_>> {
    let line = line.trim_start_matches(['*', '_', '=', '+', ' ', '[']);
    let head = &line[..line.floor_char_boundary(MAX_NAME)];
    let end = head.find(|c: char| !c.is_ascii_alphabetic() && c != ' ').unwrap_or(head.len());
    let rest = &line[end..];
    if !rest.is_empty() && !rest.starts_with([':', '*', '_', '=', '-', ']', '?', '.', '+']) {
        return None;
    }
    let name = head[..end].trim_end();
    let (first, length) = (name.bytes().next()?.to_ascii_lowercase(), name.len());
    let &(_, zone) = NAMES
        .iter()
        .find(|(known, _)| known.len() == length && known.as_bytes()[0] == first && name.eq_ignore_ascii_case(known))?;
    let rest = rest.trim_start_matches(['*', '_', '=', ']', '+', ' ']);
    let content = match rest.strip_prefix([':', '-']) {
        Some(content) => content.trim_start_matches(['*', '_', '=', ':', '-', '+', ' ', '\t']),
        None if rest.chars().all(|c| "?.:=*_ ".contains(c)) => "",
        None => return None,
    };
    Some(Heading { zone, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_is_known_in_every_dress() {
        for line in
            ["Steps to reproduce:", "h3. Steps to Reproduce", "## Steps to reproduce", "*Steps to reproduce:*", "Steps"]
        {
            assert_eq!(heading(without_mark(line)), Some(Heading { zone: Zone::Steps, content: "" }), "{line}");
        }
        assert_eq!(heading("Expected: a dialog"), Some(Heading { zone: Zone::Expected, content: "a dialog" }));
        assert_eq!(heading("*Environment:* Windows"), Some(Heading { zone: Zone::Environment, content: "Windows" }));
        for line in ["Steps are missing", "Version 2 fails", "Results differ: see below", "", "Expectedly: no"] {
            assert_eq!(heading(line), None, "{line}");
        }
    }

    #[test]
    fn list_marks_are_no_words() {
        for (line, bare) in [
            ("1. Open", "Open"),
            ("12) Open", "Open"),
            ("2.Open", "Open"),
            ("* Open", "Open"),
            ("#hash", "#hash"),
            ("2.4.1 fails", "2.4.1 fails"),
        ] {
            assert_eq!(without_mark(line), bare);
        }
    }
}
