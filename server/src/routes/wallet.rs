//! The wallet's routes, one file a resource; each names its own.

pub(crate) mod channels;
pub(crate) mod choices;
pub(crate) mod customers;
pub(crate) mod days;
pub(crate) mod devices;
pub(crate) mod merchants;
pub(crate) mod passwords;
pub(crate) mod payments;
pub(crate) mod promotions;
pub(crate) mod recharges;
pub(crate) mod statements;
pub(crate) mod transfers;
pub(crate) mod wealth;

use axum::Router;

use crate::app::App;

/// All of them.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .merge(customers::routes())
        .merge(recharges::routes())
        .merge(channels::routes())
        .merge(merchants::routes())
        .merge(promotions::routes())
        .merge(payments::routes())
        .merge(passwords::routes())
        .merge(devices::routes())
        .merge(choices::routes())
        .merge(transfers::routes())
        .merge(wealth::routes())
        .merge(statements::routes())
        .merge(days::routes())
}
