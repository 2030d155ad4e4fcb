//! The gRPC interface of the control plane, compiled from `starbridge/control/v1/*.proto`.
//!
//! The definitions are the truth and carry the documentation; this crate only gives them to Rust. [`DESCRIPTORS`]
//! holds them in compiled form, comments included, for reflection and for tools.

/// `starbridge.control.v1`.
pub mod v1 {
    #![expect(clippy::missing_errors_doc, reason = "generated: every call may fail with the status of its method")]

    tonic::include_proto!("starbridge.control.v1");
}

/// All definitions as an encoded `google.protobuf.FileDescriptorSet`, imports and comments included.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The interface versions served, newest first, as `GetVersionResponse.api_versions` names them.
pub const API_VERSIONS: [&str; 1] = ["starbridge.control.v1"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use prost::Message;
    use prost_types::{FileDescriptorProto, FileDescriptorSet};

    fn files() -> Vec<FileDescriptorProto> {
        let set = FileDescriptorSet::decode(DESCRIPTORS).expect("the descriptors parse");
        set.file.into_iter().filter(|file| file.package().starts_with("starbridge.")).collect()
    }

    /// The paths of a file's elements that have a comment before them.
    fn documented(file: &FileDescriptorProto) -> BTreeSet<Vec<i32>> {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        locations
            .filter(|location| !location.leading_comments().trim().is_empty())
            .map(|location| location.path.clone())
            .collect()
    }

    fn index(position: usize) -> i32 {
        i32::try_from(position).expect("few elements")
    }

    fn is_pascal(name: &str) -> bool {
        name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_alphanumeric())
    }

    fn is_snake(name: &str) -> bool {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    }

    // Field numbers of descriptor.proto, of which comment paths are made.
    const PACKAGE: i32 = 2;
    const MESSAGE: i32 = 4;
    const ENUM: i32 = 5;
    const SERVICE: i32 = 6;
    const PART: i32 = 2;

    /// Every element that a client may rely on, one a line, in the order of names.
    fn interface() -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        for file in files() {
            let package = file.package();
            for service in &file.service {
                for method in &service.method {
                    let stream = |on: bool| if on { "stream " } else { "" };
                    lines.insert(format!(
                        "rpc {package}.{}/{} ({}{}) returns ({}{})",
                        service.name(),
                        method.name(),
                        stream(method.client_streaming()),
                        method.input_type(),
                        stream(method.server_streaming()),
                        method.output_type()
                    ));
                }
            }
            for message in &file.message_type {
                for field in &message.field {
                    let kind = if field.type_name().is_empty() {
                        format!("{:?}", field.r#type())
                    } else {
                        field.type_name().to_owned()
                    };
                    lines.insert(format!(
                        "field {package}.{}.{} = {} {:?} {kind}",
                        message.name(),
                        field.name(),
                        field.number(),
                        field.label()
                    ));
                }
            }
            for choice in &file.enum_type {
                for value in &choice.value {
                    lines.insert(format!("value {package}.{} = {}", value.name(), value.number()));
                }
            }
        }
        lines
    }

    /// `tests/golden/interface-v1.txt` holds what was promised. What stands there may not go or change; what is new is
    /// added to it with `STARBRIDGE_WRITE=1 cargo test -p starbridge-proto`.
    #[test]
    fn nothing_promised_is_broken() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/interface-v1.txt");
        let text = std::fs::read_to_string(path).expect("the golden file");
        let promised: BTreeSet<String> = text.lines().map(str::to_owned).collect();
        let now = interface();
        let broken: Vec<&String> = promised.difference(&now).collect();
        assert!(broken.is_empty(), "clients rely on these, which are gone or changed: {broken:#?}");
        #[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
        let write = std::env::var_os("STARBRIDGE_WRITE").is_some();
        if write {
            let lines: Vec<String> = now.iter().map(|line| format!("{line}\n")).collect();
            std::fs::write(path, lines.concat()).expect("written");
        } else {
            let new: Vec<&String> = now.difference(&promised).collect();
            assert!(new.is_empty(), "not in the golden file yet: {new:#?}");
        }
    }

    #[test]
    fn everything_is_documented() {
        for file in files() {
            let (name, comments) = (file.name(), documented(&file));
            let has = |path: &[i32], what: &str| assert!(comments.contains(path), "{name}: {what} has no comment");
            has(&[PACKAGE], "the package");
            for (m, message) in file.message_type.iter().enumerate() {
                has(&[MESSAGE, index(m)], message.name());
                for (f, field) in message.field.iter().enumerate() {
                    has(&[MESSAGE, index(m), PART, index(f)], field.name());
                }
            }
            for (e, choice) in file.enum_type.iter().enumerate() {
                has(&[ENUM, index(e)], choice.name());
                for (v, value) in choice.value.iter().enumerate() {
                    has(&[ENUM, index(e), PART, index(v)], value.name());
                }
            }
            for (s, service) in file.service.iter().enumerate() {
                has(&[SERVICE, index(s)], service.name());
                for (m, method) in service.method.iter().enumerate() {
                    has(&[SERVICE, index(s), PART, index(m)], method.name());
                }
            }
        }
    }

    #[test]
    fn names_follow_the_rules_of_buf() {
        for file in files() {
            let package = file.package();
            assert!(API_VERSIONS.contains(&package), "{package} is not listed as a version");
            assert!(file.name().starts_with(&format!("{}/", package.replace('.', "/"))), "{}", file.name());
            assert_eq!(file.syntax(), "proto3");
            for message in &file.message_type {
                assert!(is_pascal(message.name()), "{}", message.name());
                for field in &message.field {
                    assert!(is_snake(field.name()), "{}.{}", message.name(), field.name());
                }
            }
            for choice in &file.enum_type {
                assert!(is_pascal(choice.name()), "{}", choice.name());
                let first = choice.value.first().expect("an enum has values");
                assert!(first.name().ends_with("_UNSPECIFIED") && first.number() == 0, "{}", first.name());
            }
            for service in &file.service {
                assert!(is_pascal(service.name()) && service.name().ends_with("Service"), "{}", service.name());
                for method in &service.method {
                    assert!(is_pascal(method.name()), "{}", method.name());
                    assert_eq!(method.input_type(), format!(".{package}.{}Request", method.name()));
                    assert_eq!(method.output_type(), format!(".{package}.{}Response", method.name()));
                }
            }
        }
    }

    #[test]
    fn messages_survive_the_wire() {
        let version = v1::GetVersionResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            api_versions: API_VERSIONS.map(str::to_owned).to_vec(),
        };
        let bytes = version.encode_to_vec();
        assert_eq!(v1::GetVersionResponse::decode(bytes.as_slice()), Ok(version));
    }
}
