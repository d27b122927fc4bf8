//! A client that does nothing bad, and how long it waits.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::stage::Stage;
use crate::client::Client;

/// How long an ordinary client waited.
pub(super) struct Latencies {
    pub(super) count: usize,
    pub(super) p99_us: u128,
}

/// Pays, one payment after the other, on one connection, for a while.
pub(super) fn measure(stage: &Stage, time: Duration, stop: &AtomicBool) -> Latencies {
    let mut client = Client::with_bearer(stage.address(), &stage.service.bearer);
    let (mut waits, begun) = (Vec::new(), Instant::now());
    while begun.elapsed() < time && !stop.load(Relaxed) {
        let body = stage.payment_of("customers:2", Uuid::now_v7());
        let sent = Instant::now();
        let answer = client.send("POST", "/v1/transactions", &body).unwrap();
        waits.push(sent.elapsed().as_micros());
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    waits.sort_unstable();
    let p99_us = waits.get(waits.len() * 99 / 100).copied().unwrap_or_default();
    Latencies { count: waits.len(), p99_us }
}
