//! One call, as the audit trail tells of it.
//!
//! Owns which calls are told of, and when. Never decides anything about the call. Invariant: what is told of a call has
//! its id, which its answer has too.

use std::sync::Arc;

use axum::http::{HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use yue_engine::model::{Caller, Scope};

use super::{
    audit::{Line, Trail},
    keys::Key,
    policy::Policy,
};
use crate::problem::{Code, Problem};

/// One call, for the audit trail.
pub(super) struct Call<'a> {
    trail: &'a Trail,
    method: Method,
    path: String,
    id: String,
    /// Whose it is, as soon as that is known.
    pub(super) key: Option<Arc<Key>>,
    pub(super) approved_by: Option<Arc<Key>>,
}

impl<'a> Call<'a> {
    pub(super) fn new(trail: &'a Trail, method: Method, path: String) -> Self {
        let id = uuid::Uuid::now_v7().to_string();
        Self { trail, method, path, id, key: None, approved_by: None }
    }

    /// Whether the call is an operator's: by its route, or by a key that could change what others can't.
    pub(super) fn is_audited(&self, policy: Policy) -> bool {
        let operator = self.key.as_ref().is_some_and(|key| key.scopes.has(Scope::Operator));
        operator && (self.method != Method::GET || policy.scopes.contains(&Scope::Operator))
    }

    fn line(&self, stage: &'static str) -> Line<'_> {
        Line {
            at: Timestamp::now().to_string(),
            request: &self.id,
            stage,
            key: self.key.as_ref().map(|key| key.id.as_str()),
            approved_by: self.approved_by.as_ref().map(|key| key.id.as_str()),
            method: self.method.as_str(),
            path: &self.path,
            status: None,
            code: None,
            issued: false,
            denied: false,
            left_out: 0,
        }
    }

    pub(super) async fn begun(&self) -> Result<(), Problem> {
        self.trail.write_synced(self.line("begun")).await.map_err(|error| {
            tracing::error!(%error, "an operator's call is refused: the audit trail can't be written");
            Problem::new(Code::Overloaded, "the audit trail can't be written")
        })
    }

    pub(super) fn refused(&self, problem: &Problem) {
        let code = problem.code();
        let line = self.line("refused");
        self.trail.write(Line {
            status: Some(code.status().as_u16()),
            code: Some(code.as_str()),
            denied: matches!(code, Code::ScopeMissing | Code::ApprovalRequired),
            ..line
        });
    }

    /// Its id, for its answer.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        self.id.parse().ok()
    }

    /// Tells what came of a call, if that is to be told: whether it is.
    pub(super) async fn done(
        &self,
        (status, code): (StatusCode, Option<Code>),
        audited: bool,
        caller: &Caller,
    ) -> bool {
        // Unauthenticated: a key that was taken out of force while its request came in.
        let refused =
            matches!(code, Some(Code::ScopeMissing | Code::ApprovalRequired | Code::Unauthenticated));
        let (issued, denied) = (caller.has_issued(), caller.was_denied());
        let code = code.map(Code::as_str);
        let stage = if refused { "refused" } else { "done" };
        let line = Line { status: Some(status.as_u16()), code, issued, denied, ..self.line(stage) };
        if audited {
            if let Err(error) = self.trail.write_synced(line).await {
                tracing::error!(%error, "the outcome of an operator's call is not in the audit trail");
            }
            return true;
        }
        let told = issued || denied || refused;
        if told {
            self.trail.write(line);
        }
        told
    }
}
