//! The filters of lists: terms `field op value` joined by AND, a part of AIP-160 (google.aip.dev/160).
//!
//! A value is a bare word or a text in double quotes with `\"` and `\\`. What fields there are, and which operators
//! they know, is for each list to say.

/// How a term compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `>=`
    AtLeast,
}

/// One term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The field.
    pub field: String,
    /// How it compares.
    pub operator: Operator,
    /// With what.
    pub value: String,
}

/// Why a text is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at character {position}; write terms like `state = OPEN AND cluster_id = \"clu_…\"`")]
pub struct FilterError {
    /// What is wrong.
    pub problem: &'static str,
    /// Where, counted in characters from 1.
    pub position: usize,
}

/// Longest filter, in bytes.
pub const MAX_FILTER: usize = 4_096;

/// Reads a filter; an empty one has no terms.
pub fn parse(text: &str) -> Result<Vec<Term>, FilterError> {
    let mut reader = Reader { text: text.chars().collect(), at: 0 };
    if text.len() > MAX_FILTER {
        return Err(reader.error("is longer than 4,096 bytes"));
    }
    if text.contains('\0') {
        return Err(reader.error("contains a NUL character"));
    }
    let mut terms = Vec::new();
    reader.skip_space();
    while !reader.at_end() {
        if !terms.is_empty() {
            if reader.word() != "AND" {
                return Err(reader.error("expected AND"));
            }
            reader.skip_space();
        }
        let field = reader.word();
        if field.is_empty() {
            return Err(reader.error("expected a field name"));
        }
        reader.skip_space();
        let operator = reader.operator()?;
        reader.skip_space();
        let value = reader.value()?;
        reader.skip_space();
        terms.push(Term { field, operator, value });
    }
    Ok(terms)
}

struct Reader {
    text: Vec<char>,
    at: usize,
}

impl Reader {
    fn at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn error(&self, problem: &'static str) -> FilterError {
        FilterError { problem, position: self.at + 1 }
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn word(&mut self) -> String {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_alphanumeric() || "_.-:/#@+".contains(c)) {
            self.at += 1;
        }
        self.text[start..self.at].iter().collect()
    }

    fn operator(&mut self) -> Result<Operator, FilterError> {
        match (self.peek(), self.text.get(self.at + 1)) {
            (Some('='), _) => {
                self.at += 1;
                Ok(Operator::Equal)
            }
            (Some('>'), Some('=')) => {
                self.at += 2;
                Ok(Operator::AtLeast)
            }
            _ => Err(self.error("expected = or >=")),
        }
    }

    fn value(&mut self) -> Result<String, FilterError> {
        if self.peek() != Some('"') {
            let word = self.word();
            return if word.is_empty() { Err(self.error("expected a value")) } else { Ok(word) };
        }
        self.at += 1;
        let mut value = String::new();
        loop {
            match self.peek() {
                None => return Err(self.error("expected a closing quote")),
                Some('"') => {
                    self.at += 1;
                    return Ok(value);
                }
                Some('\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some(c @ ('"' | '\\')) => value.push(c),
                        _ => return Err(self.error("expected \\\" or \\\\")),
                    }
                }
                Some(c) => value.push(c),
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn term(field: &str, operator: Operator, value: &str) -> Term {
        Term { field: field.to_owned(), operator, value: value.to_owned() }
    }

    #[test]
    fn terms_are_joined_by_and() {
        assert_eq!(
            parse(r#" state=OPEN AND report_count >= 3 AND title = "a \"b\" \\ c" "#),
            Ok(vec![
                term("state", Operator::Equal, "OPEN"),
                term("report_count", Operator::AtLeast, "3"),
                term("title", Operator::Equal, r#"a "b" \ c"#),
            ])
        );
        assert_eq!(parse("  "), Ok(vec![]));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, position) in
            [("state", 6), ("= x", 1), ("a = ", 5), ("a = b c = d", 8), ("a = \"b", 7), ("a < b", 3)]
        {
            assert_eq!(parse(text).expect_err(text).position, position, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".{0,200}") {
            let _ = parse(&text);
        }
    }
}
