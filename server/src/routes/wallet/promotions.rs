//! `POST /v1/promotions`, `GET /v1/promotions/{id}`

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    response::Response,
    routing::{get, post},
};
use yue_engine::wallet::Part;

use crate::{
    admission::Arrival,
    app::{App, route},
    json::{Object, parse},
    openapi::{BodyProblems, ReadProblems},
    problem::{Problem, ProblemBody},
    query::Query,
    routes::{created, json, path_parameter},
    telemetry::Route,
    wire::wallet::promotion::{PromotionIn, PromotionOut},
};

/// The routes of this file.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/promotions", post(route(Route::PromotionCreate, create)))
        .route("/v1/promotions/{id}", get(route(Route::PromotionGet, get_one)))
}

/// Make a promotion
///
/// Its budget moves from `platform:promotion` to `promos:{id}`, and can't be oversold. Its terms stay as they are.
#[utoipa::path(
    post, path = "/v1/promotions", tag = "payments", operation_id = "make_promotion",
    request_body(content = PromotionIn, examples(
        ("1 amount off" = (summary = "Five yuan off", value = json!({
            "id": "618-five-off", "name": "618: five yuan off", "kind": "payment_discount",
            "rule": {"amount_off": "5.00"}, "budget": "10000.00", "per_user": 1,
            "starts_at": "2026-06-18T00:00:00+08:00", "ends_at": "2126-06-19T00:00:00+08:00"
        }))),
        ("2 percent off" = (summary = "A tenth off a recharge over digital RMB", value = json!({
            "id": "ecny-bonus", "name": "A tenth on top", "kind": "recharge_bonus",
            "rule": {"percent_off": 10, "at_most": "20.00"}, "budget": "5000.00", "channels": ["ecny"],
            "starts_at": "2026-06-18T00:00:00+08:00", "ends_at": "2126-06-19T00:00:00+08:00"
        }))),
        ("3 full reduction" = (summary = "50 off from 300 on", value = json!({
            "id": "home-300-50", "name": "Home: 50 off from 300 on", "kind": "payment_discount",
            "rule": {"full": "300.00", "reduce": "50.00"}, "budget": "100000.00", "categories": ["home"],
            "starts_at": "2026-06-18T00:00:00+08:00", "ends_at": "2126-06-19T00:00:00+08:00"
        }))),
    )),
    responses(
        (status = 201, description = "Made now.", body = PromotionOut),
        (status = 200, description = "Made before, with the same body: as it is now.", body = PromotionOut,
            headers(("Idempotent-Replayed" = String, description = "`true`"))),
        (status = 409, description = "`id_reused`: made with another body; `field` differs. `account_exists`: \
            `promos:{id}` belongs to the ledger's own callers.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`amount_invalid`",
            body = ProblemBody, content_type = "application/problem+json"),
        BodyProblems,
    ),
)]
pub(crate) async fn create(app: App, request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet_until(Arrival::of(&request)).await?;
    let bytes = app.read_body(request).await?;
    wallet.engine().admission()?;
    let Object(promotion) = parse::<Object<PromotionIn>>(&bytes)?;
    let (promotion, terms) = promotion.into_terms()?;
    let made = wallet.make_promotion(&promotion, &terms).await?;
    Ok(created(!made, &PromotionOut::new(&wallet.promotion(&promotion)?)))
}

/// Get a promotion
#[utoipa::path(
    get, path = "/v1/promotions/{id}", tag = "payments", operation_id = "get_promotion",
    params(("id" = String, Path, example = "618-five-off")),
    responses((status = 200, description = "The promotion.", body = PromotionOut), ReadProblems),
)]
pub(crate) async fn get_one(app: App, mut request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet().await?;
    Query::parse(request.uri().query(), &[])?;
    let promotion: Part = path_parameter(&mut request, "id").await?;
    Ok(json(StatusCode::OK, &PromotionOut::new(&wallet.promotion(&promotion)?)))
}
