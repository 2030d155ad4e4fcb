//! Who asks: the token that goes with every request.

use secrecy::{ExposeSecret, SecretString};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Puts the token on requests; without one they go as they are, and a client certificate may speak for the caller.
#[derive(Debug, Clone)]
pub(crate) struct Sign {
    token: Option<MetadataValue<Ascii>>,
}

impl Sign {
    /// Signs with a token; refuses one that cannot be part of a header.
    pub(crate) fn with(token: Option<&SecretString>) -> Option<Self> {
        let Some(token) = token else { return Some(Self { token: None }) };
        let mut value = MetadataValue::try_from(format!("Bearer {}", token.expose_secret())).ok()?;
        value.set_sensitive(true);
        Some(Self { token: Some(value) })
    }
}

impl Interceptor for Sign {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.token {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}
