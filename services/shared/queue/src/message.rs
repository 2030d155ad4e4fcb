//! Records as the client hands them out, and as we hand them on.

use document::{Headers, Received, Record};
use rdkafka::message::{BorrowedMessage, Headers as _, Message};

/// Copies a record out of the client's memory. Headers that are no text are replaced mark by mark, never dropped.
pub(crate) fn received(message: &BorrowedMessage<'_>) -> Received {
    let headers: Headers = message
        .headers()
        .map(|headers| {
            headers
                .iter()
                .map(|header| {
                    (header.key.to_owned(), String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned())
                })
                .collect()
        })
        .unwrap_or_default();
    Received {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        record: Record {
            key: message.key().unwrap_or_default().to_vec(),
            headers,
            value: message.payload().map(<[u8]>::to_vec),
        },
    }
}

/// What a record weighs in our buffers, bytes.
pub(crate) fn weight(received: &Received) -> usize {
    let headers: usize = received.record.headers.iter().map(|(name, value)| name.len() + value.len() + 48).sum();
    received.topic.len()
        + received.record.key.len()
        + received.record.value.as_ref().map_or(0, Vec::len)
        + headers
        + std::mem::size_of::<Received>()
}
