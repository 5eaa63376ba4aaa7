//! Calls whose messages are bytes: for promises that hold for every method there is, whatever its types.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Request, Status};

use super::Caller;

/// How long a stream that has nothing to say is listened to.
const SILENCE: Duration = Duration::from_millis(200);

/// What came back first.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A message.
    Message(Bytes),
    /// A stream without a message, for as long as we listened.
    Silence,
    /// The stream ended without a message.
    End,
}

impl Caller {
    /// Calls any method (`hearback.v1.ReportService/GetReport`) with an encoded message; the first answer counts.
    pub(crate) async fn raw(&self, method: &str, message: Vec<u8>) -> Result<Answer, Status> {
        let mut client = tonic::client::Grpc::new(self.channel());
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path: PathAndQuery = format!("/{method}").parse().expect("a method's path");
        let messages = futures::stream::iter([Bytes::from(message)]);
        let mut request = Request::new(messages);
        self.authorize(request.metadata_mut());
        let response =
            match tokio::time::timeout(Duration::from_secs(20), client.streaming(request, path, RawCodec)).await {
                Ok(response) => response?,
                Err(_) => return Ok(Answer::Silence),
            };
        let mut answers = response.into_inner();
        match tokio::time::timeout(SILENCE, answers.message()).await {
            Ok(Ok(Some(bytes))) => Ok(Answer::Message(bytes)),
            Ok(Ok(None)) => Ok(Answer::End),
            Ok(Err(status)) => Err(status),
            Err(_) => Ok(Answer::Silence),
        }
    }
}

#[derive(Clone, Copy)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length)))
    }
}
