//! The key that signs tokens is replaced on replicas that run, one after the other, as the guide says: no token that is good
//! ends with it, and once the old key is out its tokens are refused on every replica.

use std::time::Duration;

use control::access::SigningKey;
use e2e::road::{Road, RoadPlan};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use secrecy::ExposeSecret as _;
use starbridge_proto::v1;
use tonic::Code;

use super::client::{Caller, People, change, channel};
use super::until;

const PATIENCE: Duration = Duration::from_secs(60);

/// Starts both replicas again, one after the other, with these keys; after each of them every token is good at both.
async fn roll(road: &mut Road, signing: &str, trusted: &str, tokens: &[&str]) {
    for ordinal in 0..2 {
        let stage = &mut road.of("control")[ordinal];
        stage.process().stop(PATIENCE).expect("drained");
        let keys = [("CONTROL__ACCESS__SIGNING_KEY_FILE", signing), ("CONTROL__ACCESS__TRUSTED_KEY_FILES", trusted)];
        stage.begin_with(&keys).expect("started");
        stage.ready(PATIENCE).await.expect("ready");
        for token in tokens {
            assert_eq!(asked_of_each(road, token).await, [Code::Ok, Code::Ok]);
        }
    }
}

/// What each replica says to a caller with this token.
async fn asked_of_each(road: &Road, token: &str) -> [Code; 2] {
    let mut codes = [Code::Unknown; 2];
    for (ordinal, code) in codes.iter_mut().enumerate() {
        let address = road.desk_address(u32::try_from(ordinal).expect("few")).expect("bound");
        let caller = Caller::new(channel(&road.desk, &address).await, Some(token));
        let said = caller.system().get_status(v1::GetStatusRequest {}).await;
        *code = said.err().map_or(Code::Ok, |status| status.code());
    }
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_that_signs_tokens_is_replaced_while_people_work() {
    let plan = RoadPlan { orders: 1, controls: 2, planted: false, ..RoadPlan::default() };
    let mut road = Road::open(plan).await.expect("laid");
    let people = People::begin(&road).await;
    let early = people.hire(&road, "zhao", "auditor").await;
    people.at_writer(&road, &early).await;
    let old = road.desk.signing_key.display().to_string();
    let new = SigningKey::generate(&mut StdRng::seed_from_u64(7)).to_pem();
    let new = e2e::fleet::secret(road.folder(), "desk-next-key.pem", new.expose_secret()).expect("written");
    let new = new.display().to_string();
    let list = |file: &str| format!("[{file:?}]");

    // First every replica knows the new key, then it signs, and the old one is still known.
    roll(&mut road, &old, &list(&new), &[&early]).await;
    roll(&mut road, &new, &list(&old), &[&early]).await;
    let late = people.hire(&road, "qian", "auditor").await;
    let auditor = people.at_writer(&road, &late).await;
    let keys = auditor.audit().get_audit_keys(v1::GetAuditKeysRequest {}).await.expect("keys").into_inner().keys;
    assert_eq!((keys.len(), keys.iter().filter(|key| key.signs).count()), (2, 1), "{keys:?}");
    // A token that is taken back is refused by every replica, whichever key signed it.
    let (security, _) = people.writer(&road).await;
    let asked =
        v1::IssueTokenRequest { principal: "qian".to_owned(), lifetime_seconds: 3600, change: change("a second one") };
    let second = security.access().issue_token(asked).await.expect("a token").into_inner();
    let taking = v1::RevokeTokenRequest { token_id: second.token_id, change: change("lost") };
    security.access().revoke_token(taking).await.expect("revoked");
    let refused = until("both replicas refuse it", async || {
        let codes = asked_of_each(&road, &second.token).await;
        if codes == [Code::Unauthenticated; 2] { Ok(()) } else { Err(format!("{codes:?}")) }
    });
    refused.await;

    roll(&mut road, &new, "[]", &[&late]).await;
    assert_eq!(asked_of_each(&road, &early).await, [Code::Unauthenticated; 2]);

    // The trail is whole, and its head is signed by the key that signs now.
    let proof = until("the trail is proven", async || {
        let address = road.desk_address(0).map_err(|error| error.to_string())?;
        let auditor = Caller::new(channel(&road.desk, &address).await, Some(&late));
        let asked = auditor.audit().verify_audit(v1::VerifyAuditRequest::default()).await;
        let proof = asked.map_err(|status| status.to_string())?.into_inner();
        if proof.intact && proof.signed_head.is_some() { Ok(proof) } else { Err(format!("{proof:?}")) }
    });
    assert!(proof.await.entries > 4);
}
