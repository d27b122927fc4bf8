//! The wallet's routes, one file a resource; each names its own.

pub(crate) mod channels;
pub(crate) mod customers;
pub(crate) mod days;
pub(crate) mod recharges;
pub(crate) mod statements;

use axum::Router;

use crate::app::App;

/// All of them.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .merge(customers::routes())
        .merge(recharges::routes())
        .merge(channels::routes())
        .merge(statements::routes())
        .merge(days::routes())
}
