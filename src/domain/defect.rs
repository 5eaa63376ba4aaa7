//! Defects: work items in engineering's trackers.

use std::fmt;
use std::str::FromStr;

use super::id::{DefectId, TenantId};
use super::text_enum;
use super::time::Timestamp;

text_enum! {
    /// What engineering says about a defect. None of it tells a customer anything: only releases do (law 6).
    pub enum DefectState {
        /// Being worked on.
        Open = "OPEN",
        /// Fixed in the code.
        FixMerged = "FIX_MERGED",
        /// Closed as fixed.
        Closed = "CLOSED",
        /// Closed without a fix.
        ClosedWithoutFix = "CLOSED_WITHOUT_FIX",
    }
}

/// A work item in a tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// Its id.
    pub id: DefectId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The tracker.
    pub tracker: String,
    /// The key there.
    pub key: String,
    /// Its headline.
    pub title: String,
    /// A link for people.
    pub url: String,
    /// Its state.
    pub state: DefectState,
    /// How often it was reopened after a fix. A release's fix counts only for the round it was recorded in.
    pub reopen_count: i32,
    /// Rises with every change.
    pub version: i64,
    /// When first recorded.
    pub create_time: Timestamp,
    /// When last changed.
    pub update_time: Timestamp,
}

/// A defect as a caller names it: by our id, or by tracker and key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DefectRef {
    /// `def_…`
    Id(DefectId),
    /// `github:acme/app#12`
    Key {
        /// The tracker.
        tracker: String,
        /// The key there.
        key: String,
    },
}

/// Why a text names no defect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a defect id (def_…), or tracker:key as in github:acme/app#12")]
pub struct ParseDefectRefError;

impl FromStr for DefectRef {
    type Err = ParseDefectRefError;

    fn from_str(text: &str) -> Result<Self, ParseDefectRefError> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let (tracker, key) = text.split_once(':').ok_or(ParseDefectRefError)?;
        let name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        let well_formed = !tracker.is_empty()
            && tracker.len() <= 64
            && tracker.chars().all(name)
            && !key.trim().is_empty()
            && key.chars().count() <= 256
            && !key.contains('\0');
        if well_formed {
            Ok(Self::Key { tracker: tracker.to_owned(), key: key.to_owned() })
        } else {
            Err(ParseDefectRefError)
        }
    }
}

impl fmt::Display for DefectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Key { tracker, key } => write!(f, "{tracker}:{key}"),
        }
    }
}

/// Whether going from one state to another withdraws the fixes recorded so far: the defect was believed fixed, or has
/// a fix in a release, and is open again.
pub fn reopens(from: DefectState, to: DefectState, has_released_fix: bool) -> bool {
    let believed_fixed = matches!(from, DefectState::Closed | DefectState::FixMerged);
    to == DefectState::Open && from != DefectState::Open && (believed_fixed || has_released_fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_is_named_by_id_or_by_tracker_and_key() {
        let id = DefectId::new();
        assert_eq!(id.to_string().parse(), Ok(DefectRef::Id(id)));
        let by_key = DefectRef::Key { tracker: "github".to_owned(), key: "acme/app#12".to_owned() };
        assert_eq!("github:acme/app#12".parse(), Ok(by_key.clone()));
        assert_eq!(by_key.to_string(), "github:acme/app#12");
        for wrong in ["", "github", "github:", ":12", "Git Hub:12"] {
            assert_eq!(wrong.parse::<DefectRef>(), Err(ParseDefectRefError), "{wrong:?}");
        }
    }

    #[test]
    fn law_8_only_leaving_a_fixed_state_reopens() {
        assert!(reopens(DefectState::Closed, DefectState::Open, false));
        assert!(reopens(DefectState::FixMerged, DefectState::Open, false));
        assert!(!reopens(DefectState::Open, DefectState::Open, true));
        assert!(!reopens(DefectState::ClosedWithoutFix, DefectState::Open, false));
    }
}
