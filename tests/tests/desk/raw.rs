//! Calls by name with bytes that are made of the definitions: what a client does that knows only reflection.

use bytes::{Buf, BufMut};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};

use super::client::Signed;

/// Bytes in, bytes out.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}

/// Every method of the control plane.
pub(crate) fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(starbridge_proto::DESCRIPTORS).expect("the definitions");
    let services: Vec<_> = pool.services().filter(|s| s.package_name() == "starbridge.control.v1").collect();
    services.iter().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// The things that requests name.
#[derive(Debug, Clone)]
pub(crate) struct Things {
    pub(crate) letter: String,
    pub(crate) job: String,
    pub(crate) flow: String,
    /// A bundle of the flow.
    pub(crate) bundle: starbridge_proto::v1::FlowBundle,
}

/// A request that names real things and no change: whoever is let in is told that the change is missing, and nothing
/// happens.
pub(crate) fn request(method: &MethodDescriptor, things: &Things) -> Vec<u8> {
    let mut message = DynamicMessage::new(method.input());
    for field in method.input().fields() {
        let value = match (field.name(), method.parent_service().name()) {
            ("id", "ReplayService") => Some(Value::String(things.job.clone())),
            ("id", "ReconciliationService" | "BackfillService") => Some(Value::String(format!("{}:0", things.flow))),
            ("id", _) => Some(Value::String(things.letter.clone())),
            ("name" | "flow", _) => Some(Value::String(things.flow.clone())),
            ("connection", _) => Some(Value::String("galaxy-b".to_owned())),
            ("key", _) => Some(Value::String("CA-2011-100006".to_owned())),
            ("selection", _) => {
                let selection =
                    starbridge_proto::v1::Selection { ids: vec![things.letter.clone()], selector: String::new() };
                Some(sub(&field, &selection.encode_to_vec()))
            }
            ("letters", _) => {
                let letter = starbridge_proto::v1::ImportedLetter { id: things.letter.clone(), ..Default::default() };
                Some(Value::List(vec![sub(&field, &letter.encode_to_vec())]))
            }
            ("bundle", _) => Some(sub(&field, &things.bundle.encode_to_vec())),
            _ => None,
        };
        if let Some(value) = value {
            message.set_field(&field, value);
        }
    }
    message.encode_to_vec()
}

/// The same as a dry run, for a call that changes something.
pub(crate) fn rehearsal(method: &MethodDescriptor, things: &Things) -> Vec<u8> {
    let bytes = request(method, things);
    let mut message = DynamicMessage::decode(method.input(), bytes.as_slice()).expect("its own bytes");
    let field = method.input().get_field_by_name("change").expect("a change");
    let change = starbridge_proto::v1::Change { dry_run: true, ..Default::default() };
    message.set_field(&field, sub(&field, &change.encode_to_vec()));
    message.encode_to_vec()
}

fn sub(field: &prost_reflect::FieldDescriptor, bytes: &[u8]) -> Value {
    let prost_reflect::Kind::Message(kind) = field.kind() else { panic!("{} is no message", field.name()) };
    Value::Message(DynamicMessage::decode(kind, bytes).expect("its own bytes"))
}

/// How a call ends: `Ok` stands for an answer, or the first of a stream.
pub(crate) async fn call(signed: Signed, method: &MethodDescriptor, bytes: Vec<u8>) -> Code {
    ask(signed, method, bytes).await.err().map_or(Code::Ok, |status| status.code())
}

/// The answer to a call; nothing of one that answers with a stream.
pub(crate) async fn ask(signed: Signed, method: &MethodDescriptor, bytes: Vec<u8>) -> Result<Vec<u8>, Status> {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let path = path.parse().expect("a path");
    let mut grpc = tonic::client::Grpc::new(signed);
    grpc.ready().await.expect("connected");
    match method.is_server_streaming() {
        true => grpc.server_streaming(Request::new(bytes), path, Raw).await.map(|_| Vec::new()),
        false => grpc.unary(Request::new(bytes), path, Raw).await.map(tonic::Response::into_inner),
    }
}
