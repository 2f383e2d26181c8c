//! One order, from the account to the certificate.
//!
//! `task` makes one at a time. Answers to challenges are there while it lasts; each certificate has a key of its own.

use std::time::Duration;

use base64::Engine as _;
use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, CertificateIdentifier, ChallengeType,
    ExternalAccountKey, Identifier, NewAccount, NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};
use jiff::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::Failed;
use super::cache::{self, Cache};
use super::client::Http;
use crate::tls::{Acme, Challenge, Identity, Round};

/// How long an order may take.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// How it is asked whether the authority has done its part: soon, then more seldom.
const POLL: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.6)
    .timeout(Duration::from_secs(120));

/// What an order is made with.
pub(super) struct Ordering<'a> {
    pub(super) acme: &'a Acme,
    pub(super) cache: &'a Cache,
    pub(super) http: &'a Http,
    /// How the names can be looked for, what is best first.
    pub(super) ways: Vec<Challenge>,
    /// Held while an account is being made.
    pub(super) accounts: &'a Mutex<()>,
    /// The certificate that is served now.
    pub(super) replaces: Option<CertificateIdentifier<'static>>,
}

impl Ordering<'_> {
    /// A new certificate, and the text by which it can be kept.
    pub(super) async fn run(&self) -> Result<(Identity, String), Failed> {
        let ordered = Box::pin(timeout(PATIENCE, self.order_twice()));
        ordered.await.unwrap_or(Err(Failed::Timeout(PATIENCE)))
    }

    /// Once more at once if the authority did not know its own nonces, each of which the library has tried thrice already:
    /// that is no fault of the order, and may be one of several machines (RFC 8555, section 6.5).
    async fn order_twice(&self) -> Result<(Identity, String), Failed> {
        match self.order().await {
            Err(failed) if failed.is_bad_nonce() => self.order().await,
            ordered => ordered,
        }
    }

    async fn order(&self) -> Result<(Identity, String), Failed> {
        let account = self.account().await?;
        let mut order = self.begin(&account).await?;
        let round = self.acme.challenges.begin();
        self.answer(&mut order, &round).await?;
        let status = order.poll_ready(&POLL).await;
        match status {
            Ok(OrderStatus::Ready) => {}
            Ok(OrderStatus::Invalid) => return Err(why(&mut order, OrderStatus::Invalid).await),
            Ok(status) => return Err(Failed::Order(status)),
            Err(error) => return Err(told(&mut order, error.into()).await),
        }
        drop(round);
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(self.acme.domains.clone())?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key)?;
        order.finalize_csr(request.der()).await?;
        let chain = order.poll_certificate(&POLL).await?;
        let text = format!("{}{chain}", key.serialize_pem());
        let identity = cache::identity(&text)?;
        self.verify(&identity)?;
        Ok((identity, text))
    }

    /// The account that is kept, or a new one.
    async fn account(&self) -> Result<Account, Failed> {
        let _making = self.accounts.lock().await;
        let builder = Account::builder_with_http(Box::new(self.http.clone()));
        if let Some(kept) = self.cache.account().await? {
            return Ok(builder.from_credentials(kept).await?);
        }
        self.cache.can_keep_account().await?;
        let contact: Vec<_> = self.acme.contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let external = self.acme.external_account.as_ref();
        let external = external
            .map(|external| ExternalAccountKey::new(external.key_id.clone(), &external.hmac));
        let directory = self.acme.directory.clone();
        let (account, credentials) = builder.create(&new, directory, external.as_ref()).await?;
        self.cache.keep_account(&credentials).await?;
        tracing::info!(
            directory = self.acme.directory,
            account = account.id(),
            "Account made"
        );
        Ok(account)
    }

    /// The order. That it replaces the certificate of now is good to say (RFC 9773, section 5), but nothing depends on it.
    async fn begin(&self, account: &Account) -> Result<Order, Failed> {
        let names = self.acme.domains.iter();
        let names: Vec<_> = names.map(|name| Identifier::Dns(name.clone())).collect();
        if let Some(replaces) = &self.replaces {
            let order = NewOrder::new(&names).replaces(replaces.clone());
            match account.new_order(&order).await {
                Ok(order) => return Ok(order),
                Err(error) => {
                    let failed = Failed::from(error);
                    if failed.is_limit() || failed.is_unknown_account() {
                        return Err(failed);
                    }
                    let error: &(dyn std::error::Error + 'static) = &failed;
                    tracing::debug!(error, "Order taken for no renewal");
                }
            }
        }
        Ok(account.new_order(&NewOrder::new(&names)).await?)
    }

    /// Has an answer there for each name that is still to be looked for, and says so.
    async fn answer(&self, order: &mut Order, round: &Round) -> Result<(), Failed> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let authorization = authorization?;
            match authorization.status {
                AuthorizationStatus::Valid => {}
                AuthorizationStatus::Pending => self.answer_one(authorization, round).await?,
                _ => return Err(Failed::Order(OrderStatus::Invalid)),
            }
        }
        Ok(())
    }

    async fn answer_one(
        &self,
        mut authorization: AuthorizationHandle<'_>,
        round: &Round,
    ) -> Result<(), Failed> {
        let name = authorization.identifier().to_string();
        let offered = |way: &Challenge| {
            let mut offered = authorization.challenges.iter();
            offered.any(|challenge| challenge.r#type == kind(*way))
        };
        let way = self.ways.iter().copied().find(offered);
        let challenge = way.and_then(|way| Some((way, authorization.challenge(kind(way))?)));
        let Some((way, mut challenge)) = challenge else {
            return Err(Failed::NoChallenge(name));
        };
        let authorized = challenge.key_authorization();
        match way {
            Challenge::Http01 => round.say(&challenge.token, authorized.as_str()),
            Challenge::TlsAlpn01 => {
                if !round.show(&name, authorized.digest().as_ref()) {
                    return Err(Failed::NoChallenge(name));
                }
            }
        }
        tracing::debug!(name, challenge = ?way, "Challenge answered");
        Ok(challenge.set_ready().await?)
    }

    /// Whether what came is what was ordered.
    fn verify(&self, identity: &Identity) -> Result<(), Failed> {
        let names = self.acme.domains.iter();
        if let Some(name) = names.clone().find(|name| !identity.is_for(name)) {
            return Err(Failed::Name(name.clone()));
        }
        // The clocks of two machines differ.
        let validity = identity.validity();
        if Timestamp::now() > validity.not_after {
            return Err(Failed::NotToday(validity));
        }
        Ok(())
    }
}

const fn kind(way: Challenge) -> ChallengeType {
    match way {
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    }
}

/// What the authority says of a name is more than what it says of the order.
async fn told(order: &mut Order, failed: Failed) -> Failed {
    match failed {
        Failed::Refused(_) => found(order).await.unwrap_or(failed),
        failed => failed,
    }
}

async fn why(order: &mut Order, status: OrderStatus) -> Failed {
    found(order).await.unwrap_or(Failed::Order(status))
}

/// What it has found in the place of an answer.
async fn found(order: &mut Order) -> Option<Failed> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.ok()?;
        let state = authorization.refresh().await.ok()?;
        let name = state.identifier().to_string();
        let problem: Option<&Problem> = state
            .challenges
            .iter()
            .find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = problem.cloned() {
            return Some(Failed::Challenge { name, problem });
        }
    }
    None
}

/// The secret of an external account, as authorities hand it out.
pub(crate) fn hmac(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    let text = text.trim_end_matches('=');
    let text = text.replace('+', "-").replace('/', "_");
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text)
}
