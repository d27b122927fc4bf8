//! `PUT /v1/merchants/{merchant}`

use axum::{Router, extract::Request, http::StatusCode, response::Response, routing::put};
use yue_engine::wallet::Part;

use crate::{
    admission::Arrival,
    app::{App, route},
    json::{Object, parse},
    openapi::BodyProblems,
    problem::{Problem, ProblemBody},
    routes::{json, path_parameter},
    telemetry::Route,
    wire::wallet::merchant::{MerchantIn, MerchantOut},
};

/// The routes of this file.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/v1/merchants/{merchant}", put(route(Route::MerchantSet, set)))
}

/// Set a merchant's terms
///
/// The first call opens `merchants:{merchant}`. Terms are for payments that come after them.
#[utoipa::path(
    put, path = "/v1/merchants/{merchant}", tag = "payments", operation_id = "set_merchant",
    params(("merchant" = String, Path, example = "jd-self")),
    request_body(content = MerchantIn, example = json!({
        "enabled": true, "kind": "third_party", "refused_categories": ["gift-cards"], "fee_rate": "0.006"
    })),
    responses(
        (status = 200, description = "The terms as they are now.", body = MerchantOut),
        (status = 409, description = "`account_exists`: the merchant's account was opened for another asset, or on the \
            debit side.", body = ProblemBody, content_type = "application/problem+json"),
        BodyProblems,
    ),
)]
pub(crate) async fn set(app: App, mut request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet_until(Arrival::of(&request)).await?;
    let merchant: Part = path_parameter(&mut request, "merchant").await?;
    let bytes = app.read_body(request).await?;
    wallet.engine().admission()?;
    let Object(terms) = parse::<Object<MerchantIn>>(&bytes)?;
    let terms = terms.into_terms();
    wallet.set_merchant(&merchant, &terms).await?;
    Ok(json(StatusCode::OK, &MerchantOut::new(&merchant, &terms)))
}
