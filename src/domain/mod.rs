//! The rules, as plain Rust: no IO, no clock, no framework. Everything above asks these modules what is right.
//!
//! [`coverage`] says whether a fix has reached an installation, [`statements`] what a customer should have heard, and
//! [`ledger`] what is still to be said. The other modules are the words of the design: one file per resource.

pub mod announcement;
pub mod cluster;
pub mod coverage;
pub mod customer;
pub mod defect;
pub mod delivery;
pub mod event;
pub mod explanation;
pub mod filter;
pub mod id;
pub mod ledger;
pub mod policy;
pub mod product;
pub mod release;
pub mod report;
pub mod scope;
pub mod statements;
pub mod suggestion;
pub mod time;
pub mod version;
pub mod violation;

/// An enum whose values have one text each, the same in tables, events, filters and JSON.
macro_rules! text_enum {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$value_doc:meta])* $value:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        $vis enum $name {
            $($(#[$value_doc])* #[serde(rename = $text)] $value,)+
        }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$value,)+];

            /// Its text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::UnknownText;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$value),)+
                    other => Err($crate::domain::UnknownText(other.to_owned())),
                }
            }
        }
    };
}
pub(crate) use text_enum;

/// A text that names no value of its enum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no known value")]
pub struct UnknownText(pub String);
