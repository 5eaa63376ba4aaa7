//! The policy: what a tenant lets be said, and how.

use serde::Serialize;
use serde_json::json;

use crate::app::{App, Call, Error, Once, Resource};
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::policy::{ATTACH_PRECISION, MultiDefect, Policy, QuietHours};
use crate::domain::violation::Violations;
use crate::store::tenant;

use super::mark_linked_clusters;

/// New values of a policy. Which of them count is said beside.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyValues {
    /// Say ACKNOWLEDGED when a defect is linked.
    pub acknowledge: bool,
    /// When a cluster has several defects.
    pub multi_defect: MultiDefect,
    /// Announcements to more recipients wait for a person; `None`: none does.
    pub approval_threshold: Option<u64>,
    /// How long a fix must have stood, in seconds.
    #[serde(rename = "settle_delay")]
    pub settle_delay_seconds: u64,
    /// Tell customers whose version is unknown in conditional words.
    pub tell_unknown_conditionally: bool,
    /// Minutes after local midnight.
    pub quiet_start_minute: Option<u16>,
    /// Minutes after local midnight.
    pub quiet_end_minute: Option<u16>,
    /// Time zone of customers who have none; empty takes UTC.
    pub time_zone: String,
    /// The share of what the matcher attaches that should be right; 0 takes the default.
    pub attach_precision: f64,
    /// The version that was read; empty: whatever it is.
    pub etag: String,
}

/// A change of the policy.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyChange {
    /// The new values.
    pub policy: PolicyValues,
    /// Which of them count.
    pub update_mask: Vec<String>,
}

/// A policy and its version.
#[derive(Debug, Clone)]
pub struct VersionedPolicy {
    /// The policy.
    pub policy: Policy,
    /// Rises with every change.
    pub version: i64,
}

impl PolicyChange {
    /// The policy with the values that count, and the names of the fields that become different.
    fn apply(&self, before: &Policy, violations: &mut Violations) -> (Policy, Vec<&'static str>) {
        let (values, mut after) = (&self.policy, before.clone());
        let quiet = before.quiet_hours;
        let (mut quiet_start, mut quiet_end) =
            (quiet.map(|quiet| quiet.start_minute), quiet.map(|quiet| quiet.end_minute));
        if self.update_mask.is_empty() {
            violations.add("update_mask", "is required; name the fields of the policy to change");
        }
        for path in &self.update_mask {
            match path.as_str() {
                "acknowledge" => after.acknowledge = values.acknowledge,
                "multi_defect" => after.multi_defect = values.multi_defect,
                "approval_threshold" => after.approval_threshold = values.approval_threshold,
                "settle_delay" => after.settle_delay_seconds = values.settle_delay_seconds,
                "tell_unknown_conditionally" => after.tell_unknown_conditionally = values.tell_unknown_conditionally,
                "quiet_start_minute" => quiet_start = values.quiet_start_minute,
                "quiet_end_minute" => quiet_end = values.quiet_end_minute,
                "time_zone" if values.time_zone.is_empty() => after.time_zone = Policy::default().time_zone,
                "time_zone" => after.time_zone.clone_from(&values.time_zone),
                "attach_precision" if values.attach_precision == 0.0 => after.attach_precision = ATTACH_PRECISION,
                "attach_precision" => after.attach_precision = values.attach_precision,
                unknown => violations.add(
                    "update_mask",
                    format!(
                        "has the path {unknown:?}; use acknowledge, multi_defect, approval_threshold, settle_delay, \
                         tell_unknown_conditionally, quiet_start_minute, quiet_end_minute, time_zone, attach_precision"
                    ),
                ),
            }
        }
        match (quiet_start, quiet_end) {
            (Some(start_minute), Some(end_minute)) => after.quiet_hours = Some(QuietHours { start_minute, end_minute }),
            (None, None) => after.quiet_hours = None,
            (None, Some(_)) => {
                violations.add("policy.quiet_start_minute", "is required with quiet_end_minute; set both or neither")
            }
            (Some(_), None) => {
                violations.add("policy.quiet_end_minute", "is required with quiet_start_minute; set both or neither")
            }
        }
        after.check(violations);
        let fields = [
            ("acknowledge", after.acknowledge != before.acknowledge),
            ("multi_defect", after.multi_defect != before.multi_defect),
            ("approval_threshold", after.approval_threshold != before.approval_threshold),
            ("settle_delay", after.settle_delay_seconds != before.settle_delay_seconds),
            ("tell_unknown_conditionally", after.tell_unknown_conditionally != before.tell_unknown_conditionally),
            ("quiet_hours", after.quiet_hours != before.quiet_hours),
            ("time_zone", after.time_zone != before.time_zone),
            ("attach_precision", after.attach_precision != before.attach_precision),
        ];
        (after, fields.into_iter().filter_map(|(field, differs)| differs.then_some(field)).collect())
    }
}

impl App {
    /// What the tenant lets be said, and how.
    pub async fn get_policy(&self, call: &Call) -> Result<VersionedPolicy, Error> {
        let (policy, version) = tenant::policy(&self.read(call)).await?;
        Ok(VersionedPolicy { policy, version })
    }

    /// Changes what the tenant lets be said. Everything it can concern is looked at again. `unread` is what of the change
    /// could not be read: the caller learns it together with everything else that is wrong.
    pub async fn update_policy(
        &self,
        call: &Call,
        input: PolicyChange,
        mut unread: Violations,
    ) -> Result<Once<VersionedPolicy>, Error> {
        const METHOD: &str = "UpdatePolicy";
        let mut txn = self.begin(call).await?;
        let (before, version) = tenant::policy(&txn.read()).await?;
        if unread.is_empty() && self.earlier(&txn, call, METHOD, &input).await?.is_some() {
            return Ok(Once { result: VersionedPolicy { policy: before, version }, replayed: true });
        }
        let mut violations = Violations::new();
        let (policy, fields) = input.apply(&before, &mut violations);
        unread.add_others(&violations);
        unread.into_result()?;
        let tenant = txn.scope().tenant();
        if !input.policy.etag.is_empty() && input.policy.etag != version.to_string() {
            return Err(Error::StaleEtag { resource: Resource::Policy, id: tenant.to_string() });
        }
        let mut result = VersionedPolicy { policy, version };
        if !fields.is_empty() {
            tenant::update_policy(&txn, &result.policy).await?;
            result.version += 1;
            txn.record(NewEvent::new(EventKind::PolicyUpdated, tenant).data(json!({ "fields": fields })));
            mark_linked_clusters(&txn).await?;
        }
        self.remember(&txn, call, METHOD, &input, json!({ "version": result.version })).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(Once { result, replayed: fields.is_empty() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(update_mask: &[&str], edit: impl FnOnce(&mut PolicyValues)) -> PolicyChange {
        let mut policy = PolicyValues {
            acknowledge: false,
            multi_defect: MultiDefect::All,
            approval_threshold: None,
            settle_delay_seconds: 0,
            tell_unknown_conditionally: false,
            quiet_start_minute: None,
            quiet_end_minute: None,
            time_zone: String::new(),
            attach_precision: 0.0,
            etag: String::new(),
        };
        edit(&mut policy);
        PolicyChange { policy, update_mask: update_mask.iter().map(|&path| path.to_owned()).collect() }
    }

    fn wrong(change: &PolicyChange, before: &Policy) -> Vec<String> {
        let mut violations = Violations::new();
        change.apply(before, &mut violations);
        violations.iter().map(|violation| violation.field.clone()).collect()
    }

    #[test]
    fn only_what_the_mask_names_is_changed() {
        let before = Policy { acknowledge: true, approval_threshold: Some(5), ..Policy::default() };
        let change = change(&["approval_threshold", "settle_delay"], |policy| policy.settle_delay_seconds = 60);
        let mut violations = Violations::new();
        let (after, fields) = change.apply(&before, &mut violations);
        assert!(violations.is_empty());
        assert_eq!(after, Policy { approval_threshold: None, settle_delay_seconds: 60, ..before });
        assert_eq!(fields, ["approval_threshold", "settle_delay"]);
    }

    #[test]
    fn an_empty_or_unknown_mask_is_refused() {
        let before = Policy::default();
        assert_eq!(wrong(&change(&[], |_| {}), &before), ["update_mask"]);
        assert_eq!(wrong(&change(&["acknowledge", "etag", "policy.acknowledge"], |_| {}), &before).len(), 2);
    }

    #[test]
    fn quiet_hours_have_both_ends_or_none() {
        let quiet = Policy { quiet_hours: Some(QuietHours { start_minute: 60, end_minute: 120 }), ..Policy::default() };
        let one = change(&["quiet_start_minute"], |policy| policy.quiet_start_minute = Some(30));
        assert_eq!(wrong(&one, &Policy::default()), ["policy.quiet_end_minute"]);
        assert!(wrong(&one, &quiet).is_empty(), "the other end is there already");
        let none = change(&["quiet_start_minute"], |_| {});
        assert_eq!(wrong(&none, &quiet), ["policy.quiet_start_minute"]);
        let zone = change(&["time_zone"], |policy| policy.time_zone = "Mars/Olympus".to_owned());
        assert_eq!(wrong(&zone, &quiet), ["policy.time_zone"]);
    }
}
