//! Server-sent events.

use std::io::Write as _;

use serde::Serialize;
use yue_engine::view::{Event, EventView};

use super::{account::AccountOut, hold::HoldOut, transaction::TransactionOut};

/// The contract's name of an event's type.
pub(crate) const fn event_type(event: &Event) -> &'static str {
    match event {
        Event::AccountOpened(_) => "account_opened",
        Event::AccountChanged(_) => "account_changed",
        Event::TransactionPosted(_) => "transaction_posted",
        Event::TransactionRefused(_) => "transaction_rejected",
        Event::HoldExpired(_) => "hold_expired",
        Event::WalletChanged => "wallet_changed",
        Event::Snapshot => "snapshot",
    }
}

/// Appends an event: its position as `id`, its type, and its data as the matching `GET` shows it.
pub(crate) fn write(out: &mut Vec<u8>, view: &EventView) {
    let EventView { position, event, .. } = view;
    // Writing to a Vec does not fail.
    let _infallible = write!(out, "id: {position}\nevent: {}\ndata: ", event_type(event));
    match event {
        Event::AccountOpened(account) | Event::AccountChanged(account) => {
            write_json(out, &AccountOut::new(account))
        }
        Event::TransactionPosted(transaction) | Event::TransactionRefused(transaction) => {
            write_json(out, &TransactionOut::new(transaction));
        }
        Event::HoldExpired(hold) => write_json(out, &HoldOut::new(hold)),
        // Secret: the type and the position are all that is told.
        Event::WalletChanged => out.extend_from_slice(b"{}"),
        // Type and position only: what it says is the ledger's own.
        Event::Snapshot => {
            let _infallible = write!(out, "{{\"type\":\"{}\",\"position\":{position}}}", event_type(event));
        }
    }
    out.extend_from_slice(b"\n\n");
}

/// JSON on one line: `serde_json` escapes line breaks.
fn write_json(out: &mut Vec<u8>, value: &impl Serialize) {
    let _infallible = serde_json::to_writer(out, value);
}
