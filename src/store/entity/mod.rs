//! The tables, one file each. Seen in `store` only: everything above speaks of the domain's own types, and every
//! conversion names every field, so that a new column does not compile until it is mapped.

pub(in crate::store) mod announcement;
pub(in crate::store) mod api_key;
pub(in crate::store) mod attempt;
pub(in crate::store) mod cluster;
pub(in crate::store) mod cluster_defect;
pub(in crate::store) mod constraint;
pub(in crate::store) mod contact_point;
pub(in crate::store) mod customer;
pub(in crate::store) mod defect;
pub(in crate::store) mod delivery;
pub(in crate::store) mod deployment;
pub(in crate::store) mod dirty_mark;
pub(in crate::store) mod event;
pub(in crate::store) mod installation;
pub(in crate::store) mod membership;
pub(in crate::store) mod operation;
pub(in crate::store) mod operation_member;
pub(in crate::store) mod product;
pub(in crate::store) mod release;
pub(in crate::store) mod release_fix;
pub(in crate::store) mod report;
pub(in crate::store) mod report_vector;
pub(in crate::store) mod request;
pub(in crate::store) mod statement;
pub(in crate::store) mod suggestion;
pub(in crate::store) mod tenant;
