//! A client of the control plane as a stock gRPC client is: TLS, a token, the definitions.

use std::time::Duration;

use e2e::fleet::DeskFiles;
use e2e::road::Road;
use starbridge_proto::v1;
use starbridge_proto::v1::access_service_client::AccessServiceClient;
use starbridge_proto::v1::audit_service_client::AuditServiceClient;
use starbridge_proto::v1::backfill_service_client::BackfillServiceClient;
use starbridge_proto::v1::connection_service_client::ConnectionServiceClient;
use starbridge_proto::v1::dead_letter_service_client::DeadLetterServiceClient;
use starbridge_proto::v1::doubt_service_client::DoubtServiceClient;
use starbridge_proto::v1::flow_service_client::FlowServiceClient;
use starbridge_proto::v1::reconciliation_service_client::ReconciliationServiceClient;
use starbridge_proto::v1::record_service_client::RecordServiceClient;
use starbridge_proto::v1::replay_service_client::ReplayServiceClient;
use starbridge_proto::v1::system_service_client::SystemServiceClient;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use super::until;

/// Puts the token beside every request.
#[derive(Debug, Clone)]
pub(crate) struct Bearer(Option<String>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            let value: MetadataValue<_> = format!("Bearer {token}").parse().expect("a token is text");
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

/// A channel with a caller.
pub(crate) type Signed = InterceptedService<Channel, Bearer>;

/// One caller of one replica.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    channel: Channel,
    bearer: Bearer,
}

/// A channel to a replica that trusts the road's authority alone.
pub(crate) async fn channel(files: &DeskFiles, address: &str) -> Channel {
    let ca = std::fs::read_to_string(&files.ca).expect("the authority");
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)).domain_name("localhost");
    let endpoint = Endpoint::from_shared(format!("https://{address}")).expect("an address");
    let endpoint = endpoint.tls_config(tls).expect("TLS").connect_timeout(Duration::from_secs(5));
    endpoint.connect().await.expect("connected")
}

impl Caller {
    pub(crate) fn new(channel: Channel, token: Option<&str>) -> Self {
        Self { channel, bearer: Bearer(token.map(str::to_owned)) }
    }

    /// Waits until the replica knows a role of the caller.
    pub(crate) async fn has_a_role(&self) {
        let heard = until("the role is heard of", async || {
            let me = self.access().who_am_i(v1::WhoAmIRequest {}).await.expect("signed in").into_inner();
            if me.bindings.is_empty() { Err(format!("{me:?}")) } else { Ok(()) }
        });
        heard.await;
    }

    pub(crate) fn signed(&self) -> Signed {
        InterceptedService::new(self.channel.clone(), self.bearer.clone())
    }

    pub(crate) fn letters(&self) -> DeadLetterServiceClient<Signed> {
        DeadLetterServiceClient::new(self.signed())
    }

    pub(crate) fn replays(&self) -> ReplayServiceClient<Signed> {
        ReplayServiceClient::new(self.signed())
    }

    pub(crate) fn doubts(&self) -> DoubtServiceClient<Signed> {
        DoubtServiceClient::new(self.signed())
    }

    pub(crate) fn connections(&self) -> ConnectionServiceClient<Signed> {
        ConnectionServiceClient::new(self.signed())
    }

    pub(crate) fn access(&self) -> AccessServiceClient<Signed> {
        AccessServiceClient::new(self.signed())
    }

    pub(crate) fn audit(&self) -> AuditServiceClient<Signed> {
        AuditServiceClient::new(self.signed())
    }

    pub(crate) fn flows(&self) -> FlowServiceClient<Signed> {
        FlowServiceClient::new(self.signed())
    }

    pub(crate) fn backfills(&self) -> BackfillServiceClient<Signed> {
        BackfillServiceClient::new(self.signed())
    }

    pub(crate) fn reconciliations(&self) -> ReconciliationServiceClient<Signed> {
        ReconciliationServiceClient::new(self.signed())
    }

    pub(crate) fn records(&self) -> RecordServiceClient<Signed> {
        RecordServiceClient::new(self.signed())
    }

    pub(crate) fn system(&self) -> SystemServiceClient<Signed> {
        SystemServiceClient::new(self.signed())
    }
}

/// The people of an installation: a security administrator who was made by the bootstrap credential, and whoever they
/// gave a role to.
#[derive(Debug)]
pub(crate) struct People {
    pub(crate) security: String,
    files: DeskFiles,
}

/// What a person says with a change.
pub(crate) fn change(reason: &str) -> Option<v1::Change> {
    static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    Some(v1::Change { idempotency_key: format!("key-{number}"), reason: reason.to_owned(), dry_run: false })
}

impl People {
    /// Makes the first administrator at whichever replica writes.
    pub(crate) async fn begin(road: &Road) -> Self {
        let credential = std::fs::read_to_string(&road.desk.bootstrap).expect("the credential");
        let security = until("a replica writes", async || {
            for ordinal in 0..2 {
                let Ok(address) = road.desk_address(ordinal) else { continue };
                let caller = Caller::new(channel(&road.desk, &address).await, None);
                let asked = v1::BootstrapRequest { credential: credential.clone(), principal: "root".to_owned() };
                match caller.access().bootstrap(asked).await {
                    Ok(answer) => return Ok(answer.into_inner().token),
                    Err(status) if status.code() == tonic::Code::Unavailable => {}
                    Err(status) => panic!("the bootstrap was refused: {status:?}"),
                }
            }
            Err("none does".to_owned())
        });
        Self { security: security.await, files: road.desk.clone() }
    }

    /// The replica that writes, as the security administrator.
    pub(crate) async fn writer(&self, road: &Road) -> (Caller, String) {
        let writer = until("a replica writes", async || {
            for ordinal in 0..2 {
                let Ok(address) = road.desk_address(ordinal) else { continue };
                let ca = std::fs::read_to_string(&self.files.ca).expect("the authority");
                let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)).domain_name("localhost");
                let endpoint = Endpoint::from_shared(format!("https://{address}")).expect("an address");
                let endpoint = endpoint.tls_config(tls).expect("TLS").connect_timeout(Duration::from_secs(2));
                let Ok(channel) = endpoint.connect().await else { continue };
                let caller = Caller::new(channel, Some(&self.security));
                if let Ok(status) = caller.system().get_status(v1::GetStatusRequest {}).await
                    && status.get_ref().active
                    && status.get_ref().index_caught_up
                {
                    return Ok((caller, address));
                }
            }
            Err("none does".to_owned())
        });
        writer.await
    }

    /// A token for somebody with a role over every tenant.
    pub(crate) async fn hire(&self, road: &Road, principal: &str, role: &str) -> String {
        let (security, _) = self.writer(road).await;
        let scope = Some(v1::Scope { tenant: "*".to_owned(), ..v1::Scope::default() });
        self.hire_for(&security, principal, role, scope).await
    }

    pub(crate) async fn hire_for(
        &self,
        security: &Caller,
        principal: &str,
        role: &str,
        scope: Option<v1::Scope>,
    ) -> String {
        let binding = Some(v1::Binding { principal: principal.to_owned(), role: role.to_owned(), scope });
        let asked = v1::PutBindingRequest { binding, change: change("new colleague") };
        security.access().put_binding(asked).await.expect("the role is given");
        let asked = v1::IssueTokenRequest {
            principal: principal.to_owned(),
            lifetime_seconds: 3600,
            change: change("new colleague"),
        };
        security.access().issue_token(asked).await.expect("a token").into_inner().token
    }

    /// A caller with this token at the replica that writes, once the replica knows the caller's role.
    pub(crate) async fn at_writer(&self, road: &Road, token: &str) -> Caller {
        let (_, address) = self.writer(road).await;
        let caller = Caller::new(channel(&self.files, &address).await, Some(token));
        caller.has_a_role().await;
        caller
    }
}
