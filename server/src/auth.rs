//! Who asks: keys, signatures, certificates, and what they may.
//!
//! Owns the way from a request to its caller. Never looks at accounts: whose money a caller may move is decided where
//! the engine resolves names. Invariant: with keys, no route that is not open to all sees a request before its key, its
//! signature over the whole body, its rate and its scope are good.

mod audit;
mod call;
pub mod commands;
mod file;
mod in_force;
mod keys;
mod nonces;
mod policy;
mod rate;
mod refusals;
mod signature;
mod standing;
mod watch;

use std::{io, path::Path, sync::Arc};

use arc_swap::ArcSwap;
use audit::Trail;
use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, header},
    response::Response,
};
use call::Call;
pub use file::KeysError;
use file::KeysFile;
use in_force::Changes;
pub(crate) use in_force::{InForce, StreamOfKey};
use jiff::Timestamp;
use keys::{Key, Keys};
use nonces::{Nonces, Noted};
pub(crate) use policy::{BodyKind, Policy};
use refusals::{invalid, no_such_key, replayed, skewed, unauthenticated, unfit};
use sha2::{Digest as _, Sha256};
use signature::{Purpose, SCHEME, Signature, Signed};
use standing::Shown;
pub(crate) use standing::Standing;
use watch::Watched;
use yue_engine::model::{Caller, Scope};

use crate::{
    app::App,
    body,
    problem::{Code, Problem, REQUEST_ID_HEADER},
    telemetry::Route,
};

/// The header with a second operator's approval.
pub const APPROVAL_HEADER: &str = "yue-approval";
/// Seconds by which a signature's time may be off.
const WINDOW_S: i64 = 300;

/// The connection that a request came by.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Whether the other end is on this machine.
    pub loopback: bool,
    /// Whether it is encrypted.
    pub tls: bool,
    /// SHA-256 of the client's certificate, if it showed one that the client CA has signed.
    pub certificate: Option<[u8; 32]>,
}

/// Lets those in who have a key. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    watched: Watched,
    keys: ArcSwap<Keys>,
    /// Told once other keys are in force.
    changes: Changes,
    nonces: Nonces,
    trail: Trail,
    /// Unix seconds.
    started_s: i64,
}

/// Why there is no gate.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The keys file.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The audit trail.
    #[error("the audit log {path}: {reason}")]
    Audit {
        /// Which file.
        path: String,
        /// Why.
        reason: io::Error,
    },
}

/// A request whose caller is known.
struct Identified {
    key: Arc<Key>,
    /// To look at the key again once the body is there; a signature was checked with the body.
    standing: Option<Standing>,
    approved_by: Option<Arc<Key>>,
    request: Request,
}

/// What a request has shown to be good.
struct Checked {
    key: Arc<Key>,
    standing: Option<Standing>,
    /// When the secret ends that was shown.
    ends_at: Option<Timestamp>,
    approved_by: Option<Arc<Key>>,
}

impl Gate {
    /// A gate for the keys of a file.
    ///
    /// # Errors
    /// The file is no keys file, or others can read it; the audit trail can't be opened.
    pub fn open(keys: &Path, audit: Option<&Path>, nonces_max: usize) -> Result<Self, GateError> {
        let trail = Trail::open(audit).map_err(|reason| {
            let path = audit.map_or(String::new(), |path| path.display().to_string());
            GateError::Audit { path, reason }
        })?;
        let watched = Watched::new(keys);
        let loaded = load(keys, &Keys::default())?;
        tracing::info!(keys = loaded.len(), path = %keys.display(), "keys are in force");
        Ok(Self(Arc::new(Inner {
            watched,
            keys: ArcSwap::from_pointee(loaded),
            changes: Changes::default(),
            nonces: Nonces::new(nonces_max),
            trail,
            started_s: Timestamp::now().as_second(),
        })))
    }

    /// Lets a request through to its route, if its caller may.
    pub(crate) async fn guard<F, Answer>(
        &self,
        app: App,
        route: Route,
        request: Request,
        handler: F,
    ) -> Result<Response, Problem>
    where
        F: FnOnce(App, Request) -> Answer,
        Answer: Future<Output = Result<Response, Problem>>,
    {
        let Some(policy) = Policy::of(route) else { return handler(app, request).await };
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let mut call = Call::new(&self.0.trail, method, path);
        let identified = Box::pin(self.identify(&app, policy, request, &mut call)).await;
        let Identified { key, standing, approved_by, request } = identified
            .inspect_err(|problem| call.refused(problem))
            .map_err(|it| it.request(call.header()))?;
        let caller = Caller::new(key.scopes, key.prefix.clone(), approved_by.is_some());
        let audited = call.is_audited(policy);
        if audited {
            call.begun().await.map_err(|it| it.request(call.header()))?;
        }
        let answer = handler(app.for_caller(caller.clone(), standing), request).await;
        let outcome = match &answer {
            Ok(response) => (response.status(), None),
            Err(problem) => (problem.code().status(), Some(problem.code())),
        };
        if !call.done(outcome, audited, &caller).await {
            return answer;
        }
        match answer {
            Ok(mut response) => {
                if let Some(id) = call.header() {
                    response.headers_mut().insert(REQUEST_ID_HEADER, id);
                }
                Ok(response)
            }
            Err(problem) => Err(problem.request(call.header())),
        }
    }

    async fn identify(
        &self,
        app: &App,
        policy: Policy,
        request: Request,
        call: &mut Call<'_>,
    ) -> Result<Identified, Problem> {
        // Before the keys are looked at: a change after the look is seen as one.
        let in_force = policy.outlives.then(|| self.0.changes.heard());
        let keys = self.0.keys.load_full();
        let (mut parts, body) = request.into_parts();
        let claim = self.claims(&keys, &parts.headers, parts.extensions.get::<Peer>());
        let (claim, approval) = match claim {
            Ok(claims) => claims,
            Err(problem) => {
                body::leave_unread(&parts.headers, body);
                return Err(problem);
            }
        };
        let needs_body = matches!(claim, Claim::Signed(_)) || approval.is_some();
        let (body, body_hash) = if needs_body && policy.body != BodyKind::None {
            let whole = app.read_signed(Request::from_parts(parts.clone(), body), policy.body).await?;
            let whole = whole.into_bytes();
            let hash = Sha256::digest(&whole).into();
            (Body::from(whole), hash)
        } else {
            (body, signature::empty_hash())
        };
        // The body took its time.
        let keys = self.0.keys.load_full();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let signed = Signed { method: parts.method.as_str(), path: target, body_hash };
        let checked = self.check(&keys, policy, claim, approval.as_ref(), &signed, call);
        match checked {
            Ok(Checked { key, standing, ends_at, approved_by }) => {
                if let Some(in_force) = in_force {
                    parts.extensions.insert(in_force.of(&key, ends_at));
                }
                Ok(Identified { key, standing, approved_by, request: Request::from_parts(parts, body) })
            }
            Err(problem) => {
                body::leave_unread(&parts.headers, body);
                Err(problem)
            }
        }
    }

    /// What a request says of its sender, as far as that can be told without its body.
    fn claims<'a>(
        &self,
        keys: &Arc<Keys>,
        headers: &'a HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<(Claim<'a>, Option<Signature<'a>>), Problem> {
        let peer = peer.cloned().unwrap_or_default();
        let now = Timestamp::now();
        let claim = match only(headers, header::AUTHORIZATION.as_str())? {
            None => {
                let shown = peer.certificate.as_ref();
                let known = shown.and_then(|shown| Some((keys.of_certificate(shown)?, *shown)));
                let nobody = || unauthenticated("the request has no Authorization");
                let (key, shown) = known.ok_or_else(nobody)?;
                Claim::Known(self.standing(keys, key, Shown::Certificate(shown), None))
            }
            Some(value) => match value.split_once(' ') {
                Some((scheme, _)) if scheme.eq_ignore_ascii_case(SCHEME) => {
                    Claim::Signed(self.signature(keys, value, now)?)
                }
                Some((scheme, bearer)) if scheme.eq_ignore_ascii_case("Bearer") => {
                    if !peer.tls && !peer.loopback {
                        return Err(unauthenticated("a bearer key is taken over TLS or loopback only"));
                    }
                    let key = keys.of_bearer(bearer.trim(), now);
                    let (key, shown, ends_at) = key.ok_or_else(no_such_key)?;
                    Claim::Known(self.standing(keys, key, Shown::Secret(shown), ends_at))
                }
                Some(_) | None => return Err(unauthenticated("Authorization is of no known scheme")),
            },
        };
        let approval = only(headers, APPROVAL_HEADER)?;
        let approval = approval.map(|value| self.signature(keys, value, now)).transpose()?;
        Ok((claim, approval))
    }

    fn standing(
        &self,
        keys: &Arc<Keys>,
        key: &Arc<Key>,
        shown: Shown,
        ends_at: Option<Timestamp>,
    ) -> Standing {
        let (keys, key) = (Arc::clone(keys), Arc::clone(key));
        Standing { gate: self.clone(), keys, key, shown, ends_at }
    }

    /// A signature whose time is good, and whose nonce was not seen; whose it is shows with the body.
    fn signature<'a>(&self, keys: &Keys, value: &'a str, now: Timestamp) -> Result<Signature<'a>, Problem> {
        let form = || invalid("the signature is not of the form that it must have");
        let signature = Signature::parse(value).ok_or_else(form)?;
        let now_s = now.as_second();
        if !(now_s - WINDOW_S..=now_s + WINDOW_S).contains(&signature.ts) {
            return Err(skewed(now_s));
        }
        // What was used before a start is forgotten; so that it can't be used again, nothing of before counts.
        if signature.ts <= self.0.started_s {
            return Err(Problem::new(Code::TimestampSkew, "signed before the server's start: sign again"));
        }
        if keys.find(signature.key_id).is_none() {
            return Err(unfit());
        }
        if self.0.nonces.has(signature.ts, signature.nonce()) {
            return Err(replayed());
        }
        Ok(signature)
    }

    /// Everything else about a request: its signature, the key's rate and scopes, a second one's approval.
    fn check(
        &self,
        keys: &Keys,
        policy: Policy,
        claim: Claim<'_>,
        approval: Option<&Signature<'_>>,
        signed: &Signed<'_>,
        call: &mut Call<'_>,
    ) -> Result<Checked, Problem> {
        let (key, ends_at, standing, signature) = match claim {
            Claim::Known(standing) => {
                standing.check()?;
                (Arc::clone(&standing.key), standing.ends_at, Some(standing), None)
            }
            Claim::Signed(signature) => {
                let (key, ends_at) = signer(keys, &signature, Purpose::Request, signed)?;
                (key, ends_at, None, Some(signature))
            }
        };
        call.key = Some(Arc::clone(&key));
        // Before the nonce: a key gets no more room for nonces than its rate lets through.
        if let Some(Err(seconds)) = key.bucket.as_ref().map(|bucket| bucket.take()) {
            let spread = seconds.saturating_add(rand::random_range(0..=2));
            return Err(
                Problem::new(Code::RateLimited, "the key has had its requests for now").retry_after(spread)
            );
        }
        if let Some(signature) = &signature {
            self.note(&key, signature)?;
        }
        // Before the approval: who may not call can't use up what was meant for another.
        may_call(&key, policy)?;
        let approved_by = match approval {
            None => None,
            Some(approval) => {
                let (other, _) = signer(keys, approval, Purpose::Approval, signed)?;
                let second =
                    other.id != key.id && other.scopes.has(Scope::Operator) && other.prefix.is_none();
                if !second {
                    let detail = "an approval is a second key's, with the scope operator and no prefix";
                    return Err(Problem::new(Code::ApprovalRequired, detail));
                }
                // Of other keys nothing needs an approval: theirs is neither used up nor taken for one.
                let operator = key.scopes.has(Scope::Operator);
                if operator {
                    self.note(&other, approval)?;
                }
                operator.then_some(other)
            }
        };
        call.approved_by.clone_from(&approved_by);
        Ok(Checked { key, standing, ends_at, approved_by })
    }

    /// Notes that a signature was used. Of a good one only: who can't sign can't fill the room.
    fn note(&self, key: &Key, signature: &Signature<'_>) -> Result<(), Problem> {
        let now_s = Timestamp::now().as_second();
        let window = now_s - WINDOW_S..=now_s + WINDOW_S;
        match self.0.nonces.note(&key.id, signature.ts, signature.nonce(), &window) {
            Noted::New => Ok(()),
            Noted::Replayed => Err(replayed()),
            Noted::Outside => Err(skewed(now_s)),
            Noted::Full => Err(Problem::new(Code::Overloaded, "the key's room for nonces is full")),
        }
    }
}

/// Whose signature it is, and the end of the secret that it was made with.
fn signer(
    keys: &Keys,
    signature: &Signature<'_>,
    purpose: Purpose,
    signed: &Signed<'_>,
) -> Result<(Arc<Key>, Option<Timestamp>), Problem> {
    let key = keys.find(signature.key_id).ok_or_else(unfit)?;
    let mut good = key.signing_keys(Timestamp::now());
    let fits = good.find(|(signing_key, _)| signature.is_of(signing_key, purpose, signed));
    let (_, ends_at) = fits.ok_or_else(unfit)?;
    Ok((Arc::clone(key), ends_at))
}

/// Whether a key may call a route at all.
fn may_call(key: &Key, policy: Policy) -> Result<(), Problem> {
    if !policy.scopes.iter().any(|scope| key.scopes.has(*scope)) {
        let names: Vec<_> = policy.scopes.iter().map(|scope| scope.as_str()).collect();
        return Err(Problem::new(Code::ScopeMissing, format!("this needs the scope {}", names.join(" or "))));
    }
    if policy.whole && key.prefix.is_some() {
        return Err(Problem::new(Code::ScopeMissing, "this is for keys that are bound to no prefix"));
    }
    Ok(())
}

/// What a request says of its sender.
enum Claim<'a> {
    /// A key, shown or by certificate.
    Known(Standing),
    /// A signature that is still to be checked.
    Signed(Signature<'a>),
}

fn load(path: &Path, before: &Keys) -> Result<Keys, KeysError> {
    let file = KeysFile::read(path)?;
    Keys::new(&file, before).map_err(|reason| KeysError::new(path, reason))
}

/// A header that is there once at the most.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let value = value.to_str().ok().filter(|_| values.next().is_none());
    value
        .map(Some)
        .ok_or_else(|| unauthenticated("a header of the authentication is there twice, or no text"))
}
