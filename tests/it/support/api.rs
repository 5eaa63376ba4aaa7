//! The API as its descriptors and comments tell it: for promises that hold for every method and every field.

use std::collections::BTreeMap;
use std::path::Path;

use hearback::grpc::proto;
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorSet};

/// Everything there is.
pub(crate) struct Api {
    /// Every method.
    pub(crate) methods: Vec<Method>,
    messages: BTreeMap<String, DescriptorProto>,
}

/// One method.
#[derive(Debug, Clone)]
pub(crate) struct Method {
    /// As in `hearback.v1.ReportService/GetReport`.
    pub(crate) path: String,
    /// Its own name.
    pub(crate) name: String,
    /// Its request's type, as in `.hearback.v1.GetReportRequest`.
    pub(crate) input: String,
    /// Its response's type.
    pub(crate) output: String,
    /// Either side sends a stream.
    pub(crate) streams: bool,
    /// The scope that its comment says it needs.
    pub(crate) scope: String,
}

enum Value {
    Number(u64),
    Other,
}

/// A field somewhere inside a message: the numbers that lead to it.
#[derive(Debug, Clone)]
pub(crate) struct FieldPath {
    /// As in `report.title`.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) kind: Type,
    numbers: Vec<u32>,
}

impl Api {
    /// Reads the descriptors, and the scopes from the comments.
    pub(crate) fn read() -> Self {
        let set = FileDescriptorSet::decode(proto::DESCRIPTORS).expect("the descriptors decode");
        let scopes = scopes();
        let mut methods = Vec::new();
        let mut messages = BTreeMap::new();
        for file in &set.file {
            for message in &file.message_type {
                collect(&format!(".{}", file.package()), message, &mut messages);
            }
            for service in &file.service {
                for method in &service.method {
                    let path = format!("{}.{}/{}", file.package(), service.name(), method.name());
                    let key = format!("{}/{}", service.name(), method.name());
                    methods.push(Method {
                        scope: scopes.get(&key).unwrap_or_else(|| panic!("{path} does not say its scope")).clone(),
                        path,
                        name: method.name().to_owned(),
                        input: method.input_type().to_owned(),
                        output: method.output_type().to_owned(),
                        streams: method.client_streaming() || method.server_streaming(),
                    });
                }
            }
        }
        assert!(methods.len() > 40, "the API has its methods");
        Self { methods, messages }
    }

    /// The method of this path.
    pub(crate) fn method(&self, path: &str) -> &Method {
        self.methods.iter().find(|method| method.path == path).unwrap_or_else(|| panic!("no method {path}"))
    }

    /// Every text field of a message and of the messages in it, to a depth that ends.
    pub(crate) fn strings(&self, message: &str) -> Vec<FieldPath> {
        self.fields(message, |kind| kind == Type::String)
    }

    /// Every field of such a message that is a number, a switch or one of an enum's values; times are numbers too.
    pub(crate) fn numbers(&self, message: &str) -> Vec<FieldPath> {
        self.fields(message, |kind| matches!(kind, Type::Int32 | Type::Int64 | Type::Bool | Type::Enum))
    }

    fn fields(&self, message: &str, wanted: impl Fn(Type) -> bool) -> Vec<FieldPath> {
        let mut found = Vec::new();
        self.walk(message, &mut Vec::new(), "", &mut found, 3);
        found.retain(|field| wanted(field.kind));
        found
    }

    /// Whether a message has this field.
    pub(crate) fn has_field(&self, message: &str, field: &str) -> bool {
        self.messages.get(message).is_some_and(|message| message.field.iter().any(|known| known.name() == field))
    }

    /// Whether a field of type bool, of this name, is set in an encoded message.
    pub(crate) fn flag(&self, message: &str, field: &str, bytes: &[u8]) -> bool {
        let number = self.messages[message].field.iter().find(|known| known.name() == field);
        let number = number.unwrap_or_else(|| panic!("{message} has no {field}")).number();
        self.values(bytes).into_iter().any(|(known, value)| known == number && matches!(value, Value::Number(1)))
    }

    /// How many elements the message's first repeated field has.
    pub(crate) fn count(&self, message: &str, bytes: &[u8]) -> usize {
        let repeated = |field: &&prost_types::FieldDescriptorProto| field.label() == Label::Repeated;
        let number = self.messages[message].field.iter().find(repeated);
        let number = number.unwrap_or_else(|| panic!("{message} has no list")).number();
        self.values(bytes).into_iter().filter(|(known, _)| *known == number).count()
    }

    /// The names of the fields that an encoded message has.
    pub(crate) fn fields_of(&self, message: &str, bytes: &[u8]) -> Vec<String> {
        let known = &self.messages[message].field;
        let name = |number| known.iter().find(|field| field.number() == number).map_or("?", |field| field.name());
        self.values(bytes).into_iter().map(|(number, _)| name(number).to_owned()).collect()
    }

    fn values(&self, mut bytes: &[u8]) -> Vec<(i32, Value)> {
        let mut values = Vec::new();
        while !bytes.is_empty() {
            let (number, wire_type) = prost::encoding::decode_key(&mut bytes).expect("a key");
            let number = i32::try_from(number).expect("a field's number");
            values.push((
                number,
                match wire_type {
                    prost::encoding::WireType::Varint => {
                        Value::Number(prost::encoding::decode_varint(&mut bytes).expect("a number"))
                    }
                    _ => {
                        let context = prost::encoding::DecodeContext::default();
                        let tag = u32::try_from(number).expect("a field's number");
                        prost::encoding::skip_field(wire_type, tag, &mut bytes, context).expect("a field");
                        Value::Other
                    }
                },
            ));
        }
        values
    }

    fn walk(&self, message: &str, numbers: &mut Vec<u32>, name: &str, found: &mut Vec<FieldPath>, depth: usize) {
        let Some(descriptor) = self.messages.get(message) else { return };
        for field in &descriptor.field {
            let name = if name.is_empty() { field.name().to_owned() } else { format!("{name}.{}", field.name()) };
            numbers.push(u32::try_from(field.number()).expect("numbers are positive"));
            match field.r#type() {
                Type::Message if depth > 0 => self.walk(field.type_name(), numbers, &name, found, depth - 1),
                Type::Message => {}
                kind => found.push(FieldPath { name, kind, numbers: numbers.clone() }),
            }
            numbers.pop();
        }
    }
}

impl FieldPath {
    /// This text in this field, as bytes to append to an encoded message: the last one wins, and messages in messages
    /// are merged.
    pub(crate) fn encode(&self, text: &str) -> Vec<u8> {
        self.encode_bytes(text.as_bytes())
    }

    /// The same with what need not be text.
    pub(crate) fn encode_bytes(&self, value: &[u8]) -> Vec<u8> {
        Self::wrap(&self.numbers, value.to_vec())
    }

    /// The same with a number, in the form of numbers.
    pub(crate) fn encode_number(&self, value: i64) -> Vec<u8> {
        let (last, outer) = self.numbers.split_last().expect("a field has a number");
        let mut bytes = Vec::with_capacity(20);
        prost::encoding::encode_key(*last, prost::encoding::WireType::Varint, &mut bytes);
        prost::encoding::encode_varint(value.cast_unsigned(), &mut bytes);
        Self::wrap(outer, bytes)
    }

    fn wrap(numbers: &[u32], mut bytes: Vec<u8>) -> Vec<u8> {
        for number in numbers.iter().rev() {
            let mut outer = Vec::with_capacity(bytes.len() + 12);
            prost::encoding::encode_key(*number, prost::encoding::WireType::LengthDelimited, &mut outer);
            prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
            outer.extend_from_slice(&bytes);
            bytes = outer;
        }
        bytes
    }
}

fn collect(package: &str, message: &DescriptorProto, into: &mut BTreeMap<String, DescriptorProto>) {
    let name = format!("{package}.{}", message.name());
    for nested in &message.nested_type {
        collect(&name, nested, into);
    }
    into.insert(name, message.clone());
}

/// From each method's comment: "Needs scope `…`".
fn scopes() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/hearback/v1");
    let mut scopes = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("the API is there") {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("it is text");
        let (mut service, mut comment) = (String::new(), String::new());
        for line in text.lines().map(str::trim) {
            if let Some(more) = line.strip_prefix("//") {
                comment.push_str(more);
                continue;
            }
            if let Some(name) = line.strip_prefix("service ") {
                service = name.trim_end_matches(['{', ' ']).to_owned();
            } else if let Some(name) = line.strip_prefix("rpc ") {
                let name = name.split('(').next().expect("a name");
                let words: Vec<&str> = comment.split("Needs scope").collect();
                let scope = words.get(1).and_then(|rest| rest.split('`').nth(1));
                if let Some(scope) = scope {
                    scopes.insert(format!("{service}/{name}"), scope.to_owned());
                }
            }
            comment.clear();
        }
    }
    scopes
}
