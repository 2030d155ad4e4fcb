//! The session that replicas share, as a client wants it.

use std::time::Duration;

use async_trait::async_trait;
use coordination::{Held, SessionStore, Turn};
use kingdee::{HeldSession, LoginTurn, SessionCache};
use secrecy::SecretString;

/// Sessions in Redis, or in this process where there is none.
pub(crate) struct Sessions(pub(crate) SessionStore);

fn held(held: Held) -> HeldSession {
    HeldSession { generation: held.generation, session: held.session }
}

#[async_trait]
impl SessionCache for Sessions {
    async fn get(&self, identity: &str) -> Option<HeldSession> {
        self.0.get(identity).await.map(held)
    }

    async fn put(&self, identity: &str, replaces: u64, session: &SecretString) -> HeldSession {
        held(self.0.put(identity, replaces, session).await)
    }

    async fn login_turn(&self, identity: &str, every: Duration) -> LoginTurn {
        match self.0.login_turn(identity, every).await {
            Turn::Now => LoginTurn::Now,
            Turn::After(wait) => LoginTurn::After(wait),
        }
    }

    async fn refuse(&self, identity: &str, fingerprint: &str) {
        self.0.refuse(identity, fingerprint).await;
    }

    async fn refused(&self, identity: &str, fingerprint: &str) -> bool {
        self.0.refused(identity, fingerprint).await
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_store_is_what_the_client_sees() {
        let sessions = Sessions(SessionStore::connect(None).expect("no settings, no fault"));
        assert!(sessions.get("a").await.is_none());
        let every = Duration::from_secs(5);
        assert!(matches!(sessions.login_turn("a", every).await, LoginTurn::Now));
        assert!(matches!(sessions.login_turn("a", every).await, LoginTurn::After(wait) if wait <= every));
        let put = sessions.put("a", 0, &SecretString::from("s1")).await;
        let got = sessions.get("a").await.expect("just put");
        assert_eq!((got.generation, got.session.expose_secret()), (put.generation, "s1"));
        assert!(!sessions.refused("a", "print").await);
        sessions.refuse("a", "print").await;
        assert!(sessions.refused("a", "print").await);
    }
}
