//! `EventService`: the tenant's history as it happens.

use std::collections::BTreeMap;
use std::pin::Pin;

use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use prost_types::{ListValue, Struct, Value, value::Kind};
use tonic::{Request, Response, Status};

use crate::app::Error;
use crate::app::event::{EventFeed, Feed, Start, encode_token};
use crate::domain::event::Event;
use crate::domain::scope::Scope;
use crate::store::TenantScope;

use super::Api;
use super::convert::timestamp;
use super::proto::{self, event_service_server::EventService};

/// JSON for the wire. Numbers become doubles there, as the protobuf type has it.
pub(crate) fn to_struct(json: serde_json::Value) -> Struct {
    match to_value(json).kind {
        Some(Kind::StructValue(fields)) => fields,
        // Events carry objects; anything else would be a fact without a name.
        _ => Struct::default(),
    }
}

fn to_value(json: serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(value),
        serde_json::Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(value) => Kind::StringValue(value),
        serde_json::Value::Array(values) => {
            Kind::ListValue(ListValue { values: values.into_iter().map(to_value).collect() })
        }
        serde_json::Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.into_iter().map(|(key, value)| (key, to_value(value))).collect();
            Kind::StructValue(Struct { fields })
        }
    };
    Value { kind: Some(kind) }
}

fn encode_event(event: Event) -> proto::Event {
    proto::Event {
        sequence: event.sequence,
        id: event.id.to_string(),
        r#type: event.kind.to_string(),
        time: Some(timestamp(event.time)),
        subject: event.subject,
        data: Some(to_struct(event.data)),
        actor: event.actor,
    }
}

fn event_message(scope: TenantScope, event: Event) -> proto::WatchResponse {
    proto::WatchResponse { resume_token: encode_token(scope, event.sequence), event: Some(encode_event(event)) }
}

fn heartbeat(feed: &EventFeed) -> proto::WatchResponse {
    proto::WatchResponse { resume_token: encode_token(feed.scope(), feed.sequence()), event: None }
}

/// The next messages of a feed. A server that goes down says so: an end without error would look like the end of history.
async fn next(mut feed: EventFeed) -> Result<Option<(Vec<proto::WatchResponse>, EventFeed)>, Status> {
    let messages = match feed.next().await? {
        Feed::Events(events) => events.into_iter().map(|event| event_message(feed.scope(), event)).collect(),
        Feed::Heartbeat => vec![heartbeat(&feed)],
        Feed::End => return Err(Error::ShuttingDown.into()),
    };
    Ok(Some((messages, feed)))
}

fn read_start(request: &proto::WatchRequest) -> Result<Start, Error> {
    match (request.resume_token.as_str(), request.from_beginning) {
        ("", false) => Ok(Start::Next),
        ("", true) => Ok(Start::Beginning),
        (token, false) => Ok(Start::After(token.to_owned())),
        (_, true) => Err(Error::invalid("from_beginning", "must be false with a resume_token; send one of the two")),
    }
}

#[tonic::async_trait]
impl EventService for Api {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<proto::WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<proto::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let call = self.caller(request.metadata(), Scope::EventsRead).await?;
        let start = read_start(request.get_ref())?;
        let feed = self.app.watch(&call, &start, self.shutdown.clone()).await?;
        // Who begins with the next event has no token yet, and would lose its place if it were cut off before one.
        let first = (start == Start::Next).then(|| Ok(heartbeat(&feed)));
        let messages =
            stream::try_unfold(feed, next).map_ok(|messages| stream::iter(messages.into_iter().map(Ok))).try_flatten();
        Ok(Response::new(stream::iter(first).chain(messages).boxed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn facts_keep_their_names_and_kinds() {
        let fields = to_struct(json!({"a": "x", "b": [1, true, null], "c": {"d": 2.5}})).fields;
        assert_eq!(fields["a"].kind, Some(Kind::StringValue("x".to_owned())));
        let Some(Kind::ListValue(list)) = &fields["b"].kind else { panic!("a list") };
        let kinds: Vec<_> = list.values.iter().filter_map(|value| value.kind.clone()).collect();
        assert_eq!(kinds, [Kind::NumberValue(1.0), Kind::BoolValue(true), Kind::NullValue(0)]);
        assert!(matches!(&fields["c"].kind, Some(Kind::StructValue(inner)) if inner.fields.len() == 1));
        assert_eq!(to_struct(json!(7)), Struct::default());
    }

    #[test]
    fn a_watcher_begins_in_one_place() {
        let request = |resume_token: &str, from_beginning| proto::WatchRequest {
            resume_token: resume_token.to_owned(),
            from_beginning,
        };
        assert_eq!(read_start(&request("", false)).expect("next"), Start::Next);
        assert_eq!(read_start(&request("", true)).expect("beginning"), Start::Beginning);
        assert_eq!(read_start(&request("t", false)).expect("after"), Start::After("t".to_owned()));
        assert!(read_start(&request("t", true)).is_err());
    }
}
