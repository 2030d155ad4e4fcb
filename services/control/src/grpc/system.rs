//! `SystemService`.

use std::sync::Arc;

use document::Fault;
use starbridge_proto::v1;
use starbridge_proto::v1::system_service_server::SystemService;
use tonic::{Request, Response, Status};

use super::status::status;
use super::{Shared, blocking};
use crate::selector::Selector;

const SERVICE: &str = "starbridge.control.v1.SystemService";

/// The service.
#[derive(Debug, Clone)]
pub struct System(pub Arc<Shared>);

#[tonic::async_trait]
impl SystemService for System {
    async fn get_version(
        &self,
        request: Request<v1::GetVersionRequest>,
    ) -> Result<Response<v1::GetVersionResponse>, Status> {
        self.0.caller(&format!("{SERVICE}/GetVersion"), &request)?;
        Ok(Response::new(v1::GetVersionResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            api_versions: starbridge_proto::API_VERSIONS.map(str::to_owned).to_vec(),
        }))
    }

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/GetStatus"), &request)?;
        shared.permit(&caller, &[], false, "system").await?;
        let (count, digest) = blocking(|| {
            let count = shared.index.count(&Selector::all(), shared.clock.millis())?;
            Ok((count, shared.index.digest()?))
        })
        .map_err(|fault: Fault| status(&fault))?;
        Ok(Response::new(v1::GetStatusResponse {
            member: shared.member.clone(),
            active: shared.writer.is_active(),
            dead_letters: i64::try_from(count.letters).unwrap_or(i64::MAX),
            index_caught_up: shared.progress.is_caught_up(),
            index_digest: digest,
            warnings: shared.warnings.clone(),
        }))
    }
}
