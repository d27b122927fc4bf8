//! `POST /v1/channels/{channel}/notifications`

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::post,
};
use yue_engine::wallet::Channel;

use crate::{
    admission::Arrival,
    app::{App, route},
    json::{Object, parse},
    openapi::BodyProblems,
    problem::{Problem, ProblemBody},
    routes::{json, path_parameter},
    telemetry::Route,
    wire::wallet::notification::{NotificationIn, NotifiedOut},
};

/// The header with a notification's signature.
pub(crate) const SIGNATURE_HEADER: &str = "yue-channel-signature";

/// The routes of this file.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/v1/channels/{channel}/notifications", post(route(Route::ChannelNotify, notify)))
}

/// Notify of an order
///
/// For channels. Applied once, however often and in whichever order notifications come: the first word decides an
/// order; further money, and money that does not fit, goes to `suspense:{channel}` once for its reference, with a reason.
/// Send it until it is answered with 200.
#[utoipa::path(
    post, path = "/v1/channels/{channel}/notifications", tag = "channels", operation_id = "notify",
    params(
        ("channel" = inline(crate::wire::wallet::recharge::ChannelName), Path, description = "Who speaks."),
        ("Yue-Channel-Signature" = String, Header, description = "`ts=` the time in Unix seconds, `,sig=` the lower-case \
            hexadecimal HMAC-SHA256 with the channel's key over the seconds, a line feed and the body. Good for 300 s."),
    ),
    request_body(content = NotificationIn, example = json!({
        "notification": "n-1", "order": "0197a0b0-0000-7000-8000-0000000000b1", "result": "paid", "amount": "100.00",
        "reference": "4200001", "paid_at": "2026-06-18T00:00:00+08:00"
    })),
    responses(
        (status = 200, description = "Applied, now or before.", body = NotifiedOut),
        (status = 401, description = "`signature_invalid`: missing, wrong, too old, too new, or the channel has no key.",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`account_exists`: the channel's account belongs to the ledger's own callers, with \
            other rules.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`amount_invalid`, or the code for which the channel's account refuses the money.",
            body = ProblemBody, content_type = "application/problem+json"),
        BodyProblems,
    ),
)]
pub(crate) async fn notify(app: App, mut request: Request) -> Result<Response, Problem> {
    let wallet = app.wallet_until(Arrival::of(&request)).await?;
    let channel: Channel = path_parameter(&mut request, "channel").await?;
    let signature = signature(request.headers());
    let bytes = app.read_body(request).await?;
    // Before the body is looked at: what it says matters only if the channel says it.
    wallet.check_notification(channel, signature.as_deref(), &bytes)?;
    wallet.engine().admission()?;
    let Object(notification) = parse::<Object<NotificationIn>>(&bytes)?;
    let result = notification.into_result(channel, wallet.engine().now())?;
    let notified = wallet.notified(&result).await?;
    Ok(json(StatusCode::OK, &NotifiedOut::new(&result, notified)))
}

/// The signature, if there is one and only one.
fn signature(headers: &HeaderMap) -> Option<String> {
    let mut signatures = headers.get_all(SIGNATURE_HEADER).iter();
    let signature = signatures.next()?.to_str().ok()?.to_owned();
    signatures.next().is_none().then_some(signature)
}
