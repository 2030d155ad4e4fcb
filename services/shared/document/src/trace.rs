//! W3C trace context, as it rides in record headers.

use std::fmt;
use std::str::FromStr;

/// `traceparent` of the document: version 00, a 16 byte trace id, an 8 byte span id, flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// Shared by every record that comes of one source document.
    pub trace_id: [u8; 16],
    /// The span that wrote the record.
    pub span_id: [u8; 8],
    /// Bit 0: sampled.
    pub flags: u8,
}

/// A `traceparent` header that is not of the form `00-<32 hex>-<16 hex>-<2 hex>`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent")]
pub struct NotATraceParent;

impl FromStr for TraceParent {
    type Err = NotATraceParent;

    fn from_str(text: &str) -> Result<Self, NotATraceParent> {
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(NotATraceParent);
        let (version, trace, span, flags) = (next()?, next()?, next()?, next()?);
        let mut parsed = Self { trace_id: [0; 16], span_id: [0; 8], flags: 0 };
        let mut flag = [0_u8; 1];
        if version != "00" {
            return Err(NotATraceParent);
        }
        hex::decode_to_slice(trace, &mut parsed.trace_id).map_err(|_| NotATraceParent)?;
        hex::decode_to_slice(span, &mut parsed.span_id).map_err(|_| NotATraceParent)?;
        hex::decode_to_slice(flags, &mut flag).map_err(|_| NotATraceParent)?;
        parsed.flags = flag[0];
        if parsed.trace_id == [0; 16] || parsed.span_id == [0; 8] { Err(NotATraceParent) } else { Ok(parsed) }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", hex::encode(self.trace_id), hex::encode(self.span_id), self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_parent_survives_its_text() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(text.parse::<TraceParent>().map(|t| t.to_string()), Ok(text.to_owned()));
        for bad in ["", "00-00-00-01", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"] {
            assert_eq!(bad.parse::<TraceParent>(), Err(NotATraceParent), "{bad}");
        }
    }
}
