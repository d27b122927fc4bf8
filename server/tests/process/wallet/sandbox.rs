//! A `yue sandbox-channel` beside the server.

use std::{
    net::SocketAddr,
    process::{Child, Stdio},
};

use serde_json::{Value, json};

use super::shop::expect;
use crate::{
    client::Client,
    server::{listening, yue},
};

pub(super) struct Sandbox {
    child: Child,
    address: SocketAddr,
}

impl Sandbox {
    /// Notifies the server at `wallet`, with these rates.
    pub(super) fn start(wallet: SocketAddr, rates: &[&str]) -> Self {
        let notify = format!("--notify-url=http://{wallet}");
        let arguments: Vec<&str> = ["sandbox-channel", "--listen=127.0.0.1:0", &notify]
            .into_iter()
            .chain(rates.iter().copied())
            .collect();
        let mut child = yue(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let address = listening(child.stdout.take().unwrap());
        Self { child, address }
    }

    pub(super) fn client(&self) -> Client {
        Client::new(self.address)
    }

    pub(super) fn totals(&self) -> Value {
        expect(&[200], || self.client().get("/totals"))
    }
}

/// Sends an order, and again if it is not answered.
pub(super) fn order(client: &mut Client, id: &str, channel: &str, amount: &str) {
    let body = json!({"channel": channel, "order": id, "amount": amount});
    expect(&[201, 200], || client.post("/orders", &body));
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}
