//! What verbs print: tables for people, JSON for programs, results to standard output and remarks to standard error.
//!
//! JSON is the API's own form: [`message`] walks the descriptors that the server uses for reflection, so that a field
//! added to the proto is printed without a line of code here. Its rules are those of protobuf's JSON with the names of
//! the proto, every field that is never unset written out, and 64-bit numbers as numbers: a count is easier to use that
//! way, and none of ours is large enough to suffer.
//!
//! Text of customers is data (law 17): in tables, control characters are shown as spaces, so that no report can move
//! the cursor or recolour a terminal.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::sync::LazyLock;

use bytes::{Buf, Bytes};
use comfy_table::presets::NOTHING;
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use serde_json::{Map, Number, Value};

use crate::domain::time::Timestamp;
use crate::grpc::proto::DESCRIPTORS;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum OutputFormat {
    /// Columns, for people.
    #[default]
    Table,
    /// JSON, for programs: one object, on one line.
    Json,
}

/// Prints one JSON value on a line of its own.
///
/// # Errors
/// If standard output is closed.
pub(crate) fn print_json(value: &Value) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{value}")
}

/// Prints a line for people.
///
/// # Errors
/// If standard output is closed.
pub(crate) fn print_line(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

/// Columns with headings.
pub(crate) struct Table(comfy_table::Table);

impl Table {
    /// An empty table.
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_preset(NOTHING).set_header(headings);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Self(table)
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.add_row(cells.map(|cell| visible(&cell)));
        for column in self.0.column_iter_mut() {
            column.set_padding((0, 2));
        }
    }

    /// The table as text, without trailing space.
    pub(crate) fn text(&self) -> String {
        self.0.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }

    /// Prints it.
    ///
    /// # Errors
    /// If standard output is closed.
    pub(crate) fn print(&self) -> io::Result<()> {
        print_line(&self.text())
    }
}

/// The text with control characters as spaces.
pub(crate) fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The first line of a text, cut to a width.
pub(crate) fn short(text: &str, width: usize) -> String {
    let line = text.lines().next().unwrap_or_default().trim();
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let mut cut: String = line.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// A moment for a table: to the second, in UTC. Empty if there is none.
pub(crate) fn moment(time: Option<&prost_types::Timestamp>) -> String {
    time.map_or_else(String::new, |time| Timestamp::from_micros(time.seconds.saturating_mul(1_000_000)).to_string())
}

/// The name of an enum's value without the prefix that all its values share: `STATE_OPEN` is `OPEN`.
pub(crate) fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_owned()
}

/// An API message as JSON. `name` is its full name, as `hearback.v1.Report`.
pub(crate) fn message(name: &str, message: &impl Message) -> Value {
    SCHEMA.message(name, Bytes::from(message.encode_to_vec()))
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::new);

/// The messages and enums of the API by their full names, with a dot in front as descriptors refer to them.
struct Schema {
    messages: HashMap<String, DescriptorProto>,
    enums: HashMap<String, EnumDescriptorProto>,
}

/// One field as it crosses the wire.
enum Wire {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(Bytes),
}

impl Schema {
    fn new() -> Self {
        let files = FileDescriptorSet::decode(DESCRIPTORS).expect("the build wrote these descriptors").file;
        let mut schema = Self { messages: HashMap::new(), enums: HashMap::new() };
        for file in files {
            let package = format!(".{}", file.package());
            for kind in file.enum_type {
                schema.enums.insert(format!("{package}.{}", kind.name()), kind);
            }
            for message in file.message_type {
                schema.add(&package, message);
            }
        }
        schema
    }

    fn add(&mut self, parent: &str, mut message: DescriptorProto) {
        let name = format!("{parent}.{}", message.name());
        for kind in std::mem::take(&mut message.enum_type) {
            self.enums.insert(format!("{name}.{}", kind.name()), kind);
        }
        for nested in std::mem::take(&mut message.nested_type) {
            self.add(&name, nested);
        }
        self.messages.insert(name, message);
    }

    fn message(&self, name: &str, bytes: Bytes) -> Value {
        self.fields(&format!(".{name}"), bytes)
    }

    fn fields(&self, name: &str, bytes: Bytes) -> Value {
        if name == ".google.protobuf.Timestamp" {
            let time = prost_types::Timestamp::decode(bytes).unwrap_or_default();
            return Value::String(rfc3339(&time));
        }
        let descriptor = self.messages.get(name).expect("the API's descriptors contain every message it refers to");
        let mut found: HashMap<i32, Vec<Wire>> = HashMap::new();
        let mut rest = bytes;
        while let Some((number, wire)) = read_field(&mut rest) {
            found.entry(number).or_default().push(wire);
        }
        let mut object = Map::new();
        for field in &descriptor.field {
            let values = found.remove(&field.number()).unwrap_or_default();
            if let Some(value) = self.field(field, values) {
                object.insert(field.name().to_owned(), value);
            }
        }
        Value::Object(object)
    }

    /// A field's value; `None` for one that can be unset and is.
    fn field(&self, field: &FieldDescriptorProto, values: Vec<Wire>) -> Option<Value> {
        if field.label() == Label::Repeated {
            if let Some(entry) = self.map_entry(field) {
                return Some(self.map(entry, values));
            }
            return Some(Value::Array(values.into_iter().flat_map(|wire| self.values(field, wire)).collect()));
        }
        match values.into_iter().last() {
            Some(wire) => self.values(field, wire).into_iter().next_back(),
            None if field.r#type() == Type::Message || field.oneof_index.is_some() => None,
            None => Some(self.scalar(field, Wire::Varint(0))),
        }
    }

    fn map_entry(&self, field: &FieldDescriptorProto) -> Option<&DescriptorProto> {
        let message = self.messages.get(field.type_name())?;
        message.options.as_ref().is_some_and(|options| options.map_entry()).then_some(message)
    }

    fn map(&self, entry: &DescriptorProto, values: Vec<Wire>) -> Value {
        let mut object = Map::new();
        for wire in values {
            let Wire::Bytes(mut bytes) = wire else { continue };
            let mut parts: HashMap<i32, Wire> = HashMap::new();
            while let Some((number, wire)) = read_field(&mut bytes) {
                parts.insert(number, wire);
            }
            let mut part = |index: usize| {
                let field = &entry.field[index];
                self.field(field, parts.remove(&field.number()).into_iter().collect()).unwrap_or_default()
            };
            let key = match part(0) {
                Value::String(key) => key,
                other => other.to_string(),
            };
            object.insert(key, part(1));
        }
        Value::Object(object)
    }

    /// The value or, of a packed field, values.
    fn values(&self, field: &FieldDescriptorProto, wire: Wire) -> Vec<Value> {
        match (field.r#type(), wire) {
            (Type::String, Wire::Bytes(bytes)) => {
                vec![Value::String(String::from_utf8_lossy(&bytes).into_owned())]
            }
            (Type::Message, Wire::Bytes(bytes)) => vec![self.fields(field.type_name(), bytes)],
            // Numbers of a repeated field come packed into one.
            (_, Wire::Bytes(mut bytes)) => {
                let mut values = Vec::new();
                while let Some(number) = read_varint(&mut bytes) {
                    values.push(self.scalar(field, Wire::Varint(number)));
                }
                values
            }
            (_, wire) => vec![self.scalar(field, wire)],
        }
    }

    fn scalar(&self, field: &FieldDescriptorProto, wire: Wire) -> Value {
        match (field.r#type(), wire) {
            (Type::Bool, Wire::Varint(value)) => Value::Bool(value != 0),
            (Type::Enum, Wire::Varint(value)) => {
                let number = value as i32;
                let kind = self.enums.get(field.type_name());
                let name = kind.and_then(|kind| kind.value.iter().find(|value| value.number() == number));
                name.map_or_else(|| Value::from(number), |name| Value::from(name.name()))
            }
            (Type::Double, Wire::Fixed64(bits)) => {
                Number::from_f64(f64::from_bits(bits)).map_or(Value::Null, Value::Number)
            }
            (Type::Double, _) => Value::from(0.0),
            (Type::String, _) => Value::String(String::new()),
            (Type::Uint32 | Type::Uint64, Wire::Varint(value)) => Value::from(value),
            // Negative numbers are sign-extended to 64 bits on the wire.
            (_, Wire::Varint(value)) => Value::from(value as i64),
            (_, Wire::Fixed64(value)) => Value::from(value),
            (_, Wire::Fixed32(value)) => Value::from(value),
            (_, Wire::Bytes(_)) => Value::Null,
        }
    }
}

fn rfc3339(time: &prost_types::Timestamp) -> String {
    let micros = time.seconds.saturating_mul(1_000_000).saturating_add(i64::from(time.nanos) / 1_000);
    Timestamp::from_micros(micros).to_string()
}

fn read_varint(bytes: &mut Bytes) -> Option<u64> {
    if bytes.has_remaining() { prost::encoding::decode_varint(bytes).ok() } else { None }
}

/// The next field's number and value. The bytes were written by prost a moment ago, so they are well formed.
fn read_field(bytes: &mut Bytes) -> Option<(i32, Wire)> {
    let key = read_varint(bytes)?;
    let number = i32::try_from(key >> 3).ok()?;
    let wire = match key & 7 {
        0 => Wire::Varint(read_varint(bytes)?),
        1 => Wire::Fixed64(bytes.get_u64_le()),
        5 => Wire::Fixed32(bytes.get_u32_le()),
        2 => {
            let length = usize::try_from(read_varint(bytes)?).ok()?;
            Wire::Bytes(bytes.split_to(length))
        }
        _ => return None,
    };
    Some((number, wire))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::grpc::proto;

    #[test]
    fn a_message_is_written_out_whole_in_the_names_of_the_proto() {
        let report = proto::Report {
            id: "rep_1".into(),
            title: "Größe \"x\"\u{1b}".into(),
            labels: [("component".to_owned(), "sync".to_owned())].into(),
            create_time: Some(prost_types::Timestamp { seconds: 1, nanos: 500_000_000 }),
            membership: Some(proto::Membership {
                origin: proto::membership::Origin::Human.into(),
                score: 0.25,
                ..Default::default()
            }),
            ..Default::default()
        };
        let json = message("hearback.v1.Report", &report);
        assert_eq!(json["id"], "rep_1");
        assert_eq!(json["title"], "Größe \"x\"\u{1b}");
        assert_eq!(json["labels"], json!({ "component": "sync" }));
        assert_eq!(json["create_time"], "1970-01-01T00:00:01.500Z");
        assert_eq!(json["membership"]["origin"], "ORIGIN_HUMAN");
        assert_eq!(json["membership"]["score"], 0.25);
        assert_eq!(json["loop_state"], "LOOP_STATE_UNSPECIFIED");
        assert_eq!(json["body"], "");
        assert!(json.get("occurred_time").is_none(), "unset messages are left out");
    }

    #[test]
    fn lists_and_numbers_keep_their_kind() {
        let cluster =
            proto::Cluster { report_count: 7, defect_ids: vec!["def_1".into(), "def_2".into()], ..Default::default() };
        let json = message("hearback.v1.Cluster", &cluster);
        assert_eq!(json["report_count"], 7);
        assert_eq!(json["reporter_count"], 0);
        assert_eq!(json["defect_ids"], json!(["def_1", "def_2"]));
        let deployment = proto::Deployment { percent: -1, ..Default::default() };
        assert_eq!(message("hearback.v1.Deployment", &deployment)["percent"], -1);
    }

    #[test]
    fn no_text_can_command_the_terminal() {
        let mut table = Table::new(["TITLE", "COUNT"]);
        table.row(["\u{1b}[31mred\u{7}\u{9b}2J".to_owned(), "1".to_owned()]);
        assert!(!table.text().chars().any(|c| c.is_control() && c != '\n'), "{:?}", table.text());
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(short("äöü\nsecond", 3), "äöü");
        assert_eq!(short("äöüß", 3), "äö…");
    }
}
