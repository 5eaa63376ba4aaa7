//! Teaches SeaORM the domain's own types: ids are UUIDs, moments are integers, enums and JSON are text.

use sea_orm::sea_query::{ArrayType, ColumnType, Nullable, StringLen, ValueType, ValueTypeErr};
use sea_orm::{ColIdx, DbErr, IntoActiveValue, QueryResult, TryFromU64, TryGetError, TryGetable, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::domain::announcement::{AnnouncementState, Stage};
use crate::domain::cluster::{ClusterState, OperationKind};
use crate::domain::coverage::{ReleaseState, Verdict};
use crate::domain::customer::{ChannelKind, ContactState};
use crate::domain::defect::DefectState;
use crate::domain::delivery::{AttemptOutcome, DeliveryState};
use crate::domain::event::EventKind;
use crate::domain::explanation::{Grounds, Signals};
use crate::domain::id::*;
use crate::domain::ledger::StatementState;
use crate::domain::product::Lines;
use crate::domain::release::{DeploymentState, Platforms};
use crate::domain::report::{Labels, LoopState, Origin, PlacementDecision};
use crate::domain::suggestion::{SuggestionKind, SuggestionState};
use crate::domain::time::Timestamp;
use crate::domain::version::VersionScheme;

use super::dirty::DirtyKind;

/// Writes the traits for a type that is stored as `$inner`.
macro_rules! stored_as {
    ($name:ty, $inner:ty, $column:expr, $array:ident, $to:expr, $from:expr) => {
        impl From<$name> for Value {
            fn from(value: $name) -> Self {
                let to: fn($name) -> $inner = $to;
                to(value).into()
            }
        }

        impl TryGetable for $name {
            fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
                let from: fn($inner) -> Result<$name, String> = $from;
                from(<$inner>::try_get_by(row, index)?).map_err(|problem| TryGetError::DbErr(DbErr::Type(problem)))
            }
        }

        impl ValueType for $name {
            fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
                let from: fn($inner) -> Result<$name, String> = $from;
                from(<$inner as ValueType>::try_from(value)?).map_err(|_| ValueTypeErr)
            }

            fn type_name() -> String {
                stringify!($name).to_owned()
            }

            fn array_type() -> ArrayType {
                ArrayType::$array
            }

            fn column_type() -> ColumnType {
                $column
            }
        }

        impl Nullable for $name {
            fn null() -> Value {
                <$inner as Nullable>::null()
            }
        }

        impl IntoActiveValue<$name> for $name {
            fn into_active_value(self) -> sea_orm::ActiveValue<$name> {
                sea_orm::ActiveValue::Set(self)
            }
        }
    };
}

/// For types that are part of primary keys: none is made by the database.
macro_rules! never_counted {
    ($name:ty) => {
        impl TryFromU64 for $name {
            fn try_from_u64(_: u64) -> Result<Self, DbErr> {
                Err(DbErr::ConvertFromU64(stringify!($name)))
            }
        }
    };
}

macro_rules! id {
    ($name:ty) => {
        stored_as!($name, Uuid, ColumnType::Uuid, Uuid, |id| id.uuid(), |uuid| Ok(<$name>::from_uuid(uuid)));
        never_counted!($name);
    };
}
for_each_id!(id);

stored_as!(Timestamp, i64, ColumnType::BigInteger, BigInt, |time| time.micros(), |micros| Ok(Timestamp::from_micros(
    micros
)));

macro_rules! text_enum_column {
    ($($name:ty),+ $(,)?) => {$(
        stored_as!(
            $name,
            String,
            ColumnType::String(StringLen::None),
            String,
            |value| value.as_str().to_owned(),
            |text| text.parse::<$name>().map_err(|error| error.to_string())
        );
    )+};
}
text_enum_column!(
    AnnouncementState,
    AttemptOutcome,
    ChannelKind,
    ClusterState,
    ContactState,
    DefectState,
    DeliveryState,
    DeploymentState,
    DirtyKind,
    EventKind,
    LoopState,
    OperationKind,
    SuggestionKind,
    SuggestionState,
    Origin,
    PlacementDecision,
    ReleaseState,
    Stage,
    StatementState,
    Verdict,
    VersionScheme,
);
never_counted!(DirtyKind);

fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our own types have string keys and no failing serializer")
}

macro_rules! json_column {
    ($($name:ty),+ $(,)?) => {$(
        stored_as!(
            $name,
            String,
            ColumnType::Text,
            String,
            |value| to_json(&value),
            |text| serde_json::from_str(&text).map_err(|error| error.to_string())
        );
    )+};
}
json_column!(Grounds, Labels, Lines, Platforms, Signals);

/// Any type with a JSON form, stored as text.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonText<T>(pub T);

impl<T: Serialize> From<JsonText<T>> for Value {
    fn from(value: JsonText<T>) -> Self {
        to_json(&value.0).into()
    }
}

impl<T: DeserializeOwned> TryGetable for JsonText<T> {
    fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
        let text = String::try_get_by(row, index)?;
        serde_json::from_str(&text).map(Self).map_err(|error| TryGetError::DbErr(DbErr::Json(error.to_string())))
    }
}

impl<T: DeserializeOwned> ValueType for JsonText<T> {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        let text = <String as ValueType>::try_from(value)?;
        serde_json::from_str(&text).map(Self).map_err(|_| ValueTypeErr)
    }

    fn type_name() -> String {
        "JsonText".to_owned()
    }

    fn array_type() -> ArrayType {
        ArrayType::String
    }

    fn column_type() -> ColumnType {
        ColumnType::Text
    }
}

impl<T> Nullable for JsonText<T> {
    fn null() -> Value {
        Value::String(None)
    }
}

impl<T: Serialize> IntoActiveValue<JsonText<T>> for JsonText<T> {
    fn into_active_value(self) -> sea_orm::ActiveValue<JsonText<T>> {
        sea_orm::ActiveValue::Set(self)
    }
}
