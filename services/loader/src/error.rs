//! Why the loader could not begin, or had to stop.

use document::{Code, Fault};

/// Trouble that ends the process.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A target cannot be used as it is set up.
    #[error("connection {name} cannot be used")]
    Connection {
        /// Its name in the settings.
        name: String,
        /// Why.
        #[source]
        source: Box<kingdee::Error>,
    },
    /// Redis, or the split of the quota, cannot be used as it is set up.
    #[error("the quota cannot be shared")]
    Coordination(#[from] coordination::Error),
    /// Kafka cannot be used as it is set up.
    #[error("Kafka cannot be used")]
    Queue(#[from] queue::Error),
}

impl Error {
    /// The entry of the catalogue.
    pub fn code(&self) -> Code {
        match self {
            Error::Connection { source, .. } => source.code(),
            Error::Coordination(error) => error.code(),
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
