//! Why the loader could not begin, or had to stop.

use document::{Code, Fault};

/// Trouble that ends the process.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Targets cannot be used as they are set up.
    #[error("the targets cannot be used")]
    Connection(#[from] connection::Error),
    /// Kafka cannot be used as it is set up.
    #[error("Kafka cannot be used")]
    Queue(#[from] queue::Error),
}

impl Error {
    /// The entry of the catalogue.
    pub fn code(&self) -> Code {
        match self {
            Error::Connection(error) => error.code(),
            Error::Queue(error) => error.code(),
        }
    }
}

/// The fault of a flow that names a connection which the settings do not have.
pub(crate) fn connection_missing(flow: &str, connection: &str) -> Fault {
    Fault::new(Code::ConnectionUnknown, format!("the settings have no connection {connection:?}"))
        .of_record(flow)
        .at_path(format!("$.connections.{connection}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_connection_names_the_flow_and_the_setting() {
        let fault = connection_missing("misc@v1", "galaxy-b");
        assert_eq!(fault.code, Code::ConnectionUnknown);
        assert_eq!(fault.place.record.as_deref(), Some("misc@v1"));
        assert_eq!(fault.place.path.as_deref(), Some("$.connections.galaxy-b"));
    }
}
