//! The wallet at scale, its process killed inside: promotions, payments together with channels, passwords.
//!
//! Each test keeps its own record outside: what was sent, and what was answered before the kill.

mod combination;
mod golden;
mod password;
mod promotion;
mod sandbox;
pub(crate) mod shop;
