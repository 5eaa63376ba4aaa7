//! The text of a token, kept in place when it is short: nearly every word is, and a report has hundreds.

use std::fmt;
use std::ops::Deref;

/// So many bytes need no memory of their own; with them a name is as large as a `String`.
const SHORT: usize = 22;

/// An immutable text that is usually a word.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::matching) struct Name(Form);

#[derive(Clone, PartialEq, Eq)]
enum Form {
    /// The length, and the bytes with zeros behind them.
    Short(u8, [u8; SHORT]),
    Long(Box<str>),
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text.as_bytes());
                Self(Form::Short(text.len() as u8, bytes))
            }
            None => Self(Form::Long(text.into())),
        }
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Form::Short(length, bytes) => {
                std::str::from_utf8(&bytes[..usize::from(*length)]).expect("a name is made of a str")
            }
            Form::Long(text) => text,
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_as_it_was_written() {
        for text in
            ["", "a", "größe", "exactly-22-bytes-here!", "a text of more than twenty-two bytes", "字字字字字字字字"]
        {
            assert_eq!(&*Name::from(text), text);
        }
        assert_eq!(size_of::<Name>(), size_of::<String>());
    }
}
