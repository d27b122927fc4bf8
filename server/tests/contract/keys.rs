//! A server with keys: who is let in, and what he may.

mod admission;
mod authentication;
mod bounds;
mod guarded;
mod prefixes;
mod revocations;
mod scopes;
