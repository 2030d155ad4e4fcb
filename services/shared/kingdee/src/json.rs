//! Reading JSON from a server that is not trusted to send it.

use serde_json::Value;

/// How deep a reply may be nested.
pub(crate) const DEPTH: usize = 64;

/// Why a body is no JSON that may be looked at.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Nested deeper than [`DEPTH`].
    TooDeep,
    /// A web page or other markup.
    Html,
    /// Not JSON, or not all of it.
    Unparsable(serde_json::Error),
}

/// Reads a whole body as one JSON value.
pub(crate) fn read(body: &[u8]) -> Result<Value, Fault> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<') {
        return Err(Fault::Html);
    }
    if depth_exceeds(body, DEPTH) {
        return Err(Fault::TooDeep);
    }
    serde_json::from_slice(body).map_err(Fault::Unparsable)
}

/// Whether brackets outside of strings nest deeper than `limit`.
fn depth_exceeds(body: &[u8], limit: usize) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in body {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'[' | b'{' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// The beginning of a body or text for an error message.
pub(crate) fn excerpt(text: &str, limit: usize) -> String {
    let mut out: String =
        text.chars().take(limit).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned();
    if text.chars().nth(limit).is_some() {
        out.push('…');
    }
    out
}

/// The beginning of a body for an error message.
pub(crate) fn excerpt_of(body: &[u8]) -> String {
    excerpt(&String::from_utf8_lossy(body.get(..2000).unwrap_or(body)), 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> Vec<u8> {
        let mut body = vec![b'['; levels];
        body.extend(vec![b']'; levels]);
        body
    }

    #[test]
    fn sixty_four_levels_are_read_and_sixty_five_are_not() {
        assert!(read(&nested(64)).is_ok());
        assert!(matches!(read(&nested(65)), Err(Fault::TooDeep)));
        assert!(matches!(read(&nested(1_000_000)), Err(Fault::TooDeep)));
    }

    #[test]
    fn brackets_in_texts_are_no_levels() {
        let body = format!("[\"{}\\\"{}\"]", "[".repeat(100), "{".repeat(100));
        assert!(read(body.as_bytes()).is_ok());
    }

    #[test]
    fn markup_byte_order_marks_and_cut_bodies_are_told_apart() {
        assert!(matches!(read(b" \n<html></html>"), Err(Fault::Html)));
        assert_eq!(read(b"\xef\xbb\xbf[]").expect("a byte order mark is skipped"), serde_json::json!([]));
        assert!(matches!(read(b"[[1,2"), Err(Fault::Unparsable(_))));
        assert!(matches!(read(b""), Err(Fault::Unparsable(_))));
        assert!(matches!(read(b"[] []"), Err(Fault::Unparsable(_))));
    }

    #[test]
    fn excerpts_are_cut_by_characters() {
        assert_eq!(excerpt("会话信息已丢失", 4), "会话信息…");
        assert_eq!(excerpt("a\nb", 10), "a b");
    }
}
