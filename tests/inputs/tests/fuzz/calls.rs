//! What callers of the control plane send.

use bolero::check;
use control::selector::Selector;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};

/// Selectors: what reads is explained and reads the same again.
#[test]
fn selector() {
    let good = "flow = \"misc-inbound\" and (category in (\"duplicate\", \"validation\") or age > 2h) and not attempts >= 3 \
                and payload.FEntity[0].FQty > 1.50 and message ~ \"库存.*不足\"";
    Selector::parse(good).expect("a good selector");
    check!().for_each(super::in_time(|input: &[u8]| {
        let edited = inputs::damage::edited(good.as_bytes(), input);
        for text in [String::from_utf8_lossy(&edited), String::from_utf8_lossy(input)] {
            if let Ok(selector) = Selector::parse(&text) {
                selector.explain();
                assert_eq!(
                    Selector::parse(selector.text()).map(|again| again.expression().clone()),
                    Ok(selector.expression().clone())
                );
            }
        }
    }));
}

/// Bytes as each kind of request: what decodes is encoded and decodes the same.
#[test]
fn request() {
    let pool = DescriptorPool::decode(starbridge_proto::DESCRIPTORS).expect("our own descriptor");
    let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let requests: Vec<_> = methods.map(|method| method.input()).collect();
    assert!(requests.len() >= 50);
    check!().for_each(super::in_time(|input: &[u8]| {
        let Some((kind, bytes)) = super::chosen(&requests, input) else { return };
        if let Ok(request) = DynamicMessage::decode(kind.clone(), bytes) {
            let again = DynamicMessage::decode(kind.clone(), request.encode_to_vec().as_slice());
            assert_eq!(again.map(|again| again.encode_to_vec()), Ok(request.encode_to_vec()));
        }
    }));
}
