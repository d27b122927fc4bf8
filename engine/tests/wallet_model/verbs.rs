//! What is asked of a wallet, the real one's answer to it as text, and what of an answer no model can foresee.

use std::{collections::BTreeSet, future::Future, pin::Pin};

use ed25519_dalek::{Signer as _, SigningKey};
use yue_engine::{
    model::{AccountStatus, Amount, RequestedAmount, Timestamp, TransactionId},
    wallet::{
        Auth, Channel, ChannelResult, Class, CustomerChange, Date, DeviceKey, FeeRate, IncomeRate, Item,
        KeyAlgorithm, LegSource, MerchantKind, MerchantTerms, Notified, OnExhausted, Part, Password,
        PaymentRequest, PaymentView, PromotionTerms, RechargeRequest, RechargeView, RefundRequest,
        SmallPayments, SuspenseReason, TransferOrder, Wallet, WalletError, WealthView,
    },
};

pub(crate) const USERS: [&str; 5] = ["ann", "bob", "cai", "dan", "eve"];
pub(crate) const MERCHANTS: [&str; 3] = ["jd-self", "shop", "stall"];
/// The first one is trivial.
pub(crate) const PASSWORDS: [&str; 4] = ["123456", "283904", "771936", "904417"];
pub(crate) const CATEGORIES: [&str; 3] = ["books", "food", "gift-cards"];
pub(crate) const DEVICE_NAMES: [&str; 2] = ["phone", "watch"];
/// Income of 10,000 shares, and the same in units of 10⁻⁸ yuan.
pub(crate) const RATES: [(&str, u128); 3] = [("0", 0), ("1.2345", 123_450_000), ("250", 25_000_000_000)];

#[derive(Clone, Debug)]
pub(crate) enum Verb {
    Open { user: usize, class: Class },
    Change { user: usize, status: Option<AccountStatus>, class: Option<Class> },
    SetPassword { user: usize, new: usize, old: Option<usize> },
    Token { user: usize, password: usize, most: u64, seconds: u32 },
    AddDevice { user: usize, password: usize, name: usize, key: u8 },
    Revoke { user: usize, device: String },
    Small { user: usize, password: usize, enabled: bool, limit: u64, count: u32 },
    Merchant { merchant: usize, terms: Terms },
    Promotion { id: String, terms: Box<PromotionTerms> },
    Recharge { id: u128, user: usize, channel: Channel, amount: u64, promotion: Option<String> },
    Notify { channel: Channel, order: u128, paid: bool, amount: u64, reference: String, paid_at: i64 },
    Pay { id: u128, request: PaymentRequest, auth: Shown },
    Cancel { id: u128 },
    Refund { id: u128, request: RefundRequest },
    Transfer { id: u128, user: usize, to: usize, amount: u64, auth: Shown },
    Wealth { user: usize, enabled: bool, keep: u64 },
    Redeem { id: u128, user: usize, amount: String },
    WealthDay { date: Date, rate: usize },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) enabled: bool,
    pub(crate) third_party: bool,
    pub(crate) refused: BTreeSet<&'static str>,
    /// Millionths.
    pub(crate) fee: u64,
}

/// What is shown to spend.
#[derive(Clone, Debug)]
pub(crate) enum Shown {
    Nothing,
    /// By its number among all that were ever created.
    Token(usize),
    Device {
        device: String,
        key: u8,
        counter: u64,
        good: bool,
    },
    Small,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) said: String,
    pub(crate) replayed: Option<bool>,
    /// When a waiting payment ends, or a token.
    pub(crate) until: Option<i64>,
    /// A token, or a device's id.
    pub(crate) learned: Option<String>,
    pub(crate) attempts_left: Option<u32>,
}

pub(crate) type Call = Pin<Box<dyn Future<Output = Answer>>>;

impl Verb {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Change { .. } => "change",
            Self::SetPassword { .. } => "password",
            Self::Token { .. } => "token",
            Self::AddDevice { .. } => "device",
            Self::Revoke { .. } => "revoke",
            Self::Small { .. } => "small",
            Self::Merchant { .. } => "merchant",
            Self::Promotion { .. } => "promotion",
            Self::Recharge { .. } => "recharge",
            Self::Notify { .. } => "notify",
            Self::Pay { .. } => "pay",
            Self::Cancel { .. } => "cancel",
            Self::Refund { .. } => "refund",
            Self::Transfer { .. } => "transfer",
            Self::Wealth { .. } => "wealth",
            Self::Redeem { .. } => "redeem",
            Self::WealthDay { .. } => "wealth day",
        }
    }

    /// Whether it happens in one moment. A wealth day has its cut in one and its sweep in another; a wallet has its accounts
    /// before its profile; a password's try is on record before it is looked at.
    pub(crate) fn is_one_step(&self) -> bool {
        !self.tries_password() && !matches!(self, Self::Open { .. } | Self::WealthDay { .. })
    }

    /// Whether it looks at a password: its copies are no copies, but so many tries.
    pub(crate) fn tries_password(&self) -> bool {
        matches!(
            self,
            Self::SetPassword { .. } | Self::Token { .. } | Self::AddDevice { .. } | Self::Small { .. }
        )
    }
}

pub(crate) fn part(name: &str) -> Part {
    Part::parse(name).unwrap()
}

fn user(no: usize) -> Part {
    part(USERS[no])
}

fn password(no: usize) -> Password {
    Password::parse(PASSWORDS[no]).unwrap()
}

pub(crate) fn key_of(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed + 1; 32])
}

fn device_key(seed: u8) -> DeviceKey {
    DeviceKey::parse(KeyAlgorithm::Ed25519, key_of(seed).verifying_key().as_bytes()).unwrap()
}

fn yuan(units: u64) -> String {
    format!("{}.{:02}", units / 100, units % 100)
}

/// What a caller shows for a payment or transfer of this size.
fn auth(
    shown: &Shown,
    tokens: &[String],
    (verb, id): (&str, u128),
    who: [&str; 2],
    units: u64,
) -> Option<Auth> {
    match shown {
        Shown::Nothing => None,
        Shown::Small => Some(Auth::Small),
        Shown::Token(no) => Some(Auth::Token(tokens.get(*no).cloned().unwrap_or_else(|| "none".into()))),
        Shown::Device { device, key, counter, good } => {
            let [user, to] = who;
            let (id, amount) = (TransactionId(id), yuan(units));
            let text = format!("{verb}\n{id}\n{user}\n{to}\n{amount}\n{counter}\n");
            let text = if *good { text } else { text.replace('\n', " ") };
            let signature = key_of(*key).sign(text.as_bytes()).to_bytes().to_vec();
            Some(Auth::Device { device: device.clone(), counter: *counter, signature })
        }
    }
}

/// Asks the real wallet.
pub(crate) fn call(wallet: &Wallet, verb: &Verb, tokens: &[String]) -> Call {
    let (wallet, verb, tokens) = (wallet.clone(), verb.clone(), tokens.to_vec());
    Box::pin(async move { answer(ask(&wallet, &verb, &tokens).await) })
}

fn answer(result: Result<Answer, WalletError>) -> Answer {
    match result {
        Ok(answer) => answer,
        Err(WalletError::IdReused { field }) => {
            Answer { said: format!("id_reused {field}"), ..Answer::default() }
        }
        Err(WalletError::Refused(refusal)) => {
            let mut said = refusal.code.as_str().to_owned();
            if let Some(left) = refusal.attempts_left {
                said = format!("{said} left {left}");
            }
            if let Some(field) = &refusal.field {
                said = format!("{said} {field}");
            }
            if let Some(seconds) = refusal.retry_after_s {
                said = format!("{said} in {seconds}");
            }
            // A refusal that is not on record is no replay.
            let replayed = refusal.position.map(|_| refusal.replayed);
            Answer { said, replayed, attempts_left: refusal.attempts_left, ..Answer::default() }
        }
        Err(other) => Answer { said: format!("unavailable: {other}"), ..Answer::default() },
    }
}

fn done(said: impl Into<String>, replayed: Option<bool>) -> Answer {
    Answer { said: said.into(), replayed, ..Answer::default() }
}

async fn ask(wallet: &Wallet, verb: &Verb, tokens: &[String]) -> Result<Answer, WalletError> {
    Ok(match verb {
        Verb::Open { user: no, class } => {
            let opened = wallet.open_customer(&user(*no), *class).await?;
            done("open", Some(!opened.opened))
        }
        Verb::Change { user: no, status, class } => {
            let change = CustomerChange { status: *status, class: *class };
            wallet.change_customer(&user(*no), change).await?;
            done("changed", None)
        }
        Verb::SetPassword { user: no, new, old } => {
            wallet.set_password(&user(*no), password(*new), old.map(password)).await?;
            done("set", None)
        }
        Verb::Token { user: no, password: with, most, seconds } => {
            let token = wallet.create_token(&user(*no), password(*with), Amount(*most), *seconds).await?;
            let (until, learned) = (Some(token.expires_at.0), Some(token.token));
            Answer { until, learned, ..done("token", None) }
        }
        Verb::AddDevice { user: no, password: with, name, key } => {
            let (name, key) = (DEVICE_NAMES[*name], device_key(*key));
            let added = wallet.add_device(&user(*no), password(*with), name, &key).await?;
            Answer { learned: Some(added.device), ..done("device", Some(!added.added)) }
        }
        Verb::Revoke { user: no, device } => {
            let device = uuid::Uuid::parse_str(device).unwrap().as_u128();
            wallet.revoke_device(&user(*no), TransactionId(device)).await?;
            done("revoked", None)
        }
        Verb::Small { user: no, password: with, enabled, limit, count } => {
            let allowed = SmallPayments { enabled: *enabled, limit: Amount(*limit), daily_count: *count };
            wallet.set_small_payments(&user(*no), password(*with), allowed).await?;
            done("set", None)
        }
        verb => return ask_for_money(wallet, verb, tokens).await,
    })
}

/// The verbs of merchants, promotions and money.
async fn ask_for_money(wallet: &Wallet, verb: &Verb, tokens: &[String]) -> Result<Answer, WalletError> {
    Ok(match verb {
        Verb::Merchant { merchant, terms } => {
            let terms = MerchantTerms {
                enabled: terms.enabled,
                kind: if terms.third_party { MerchantKind::ThirdParty } else { MerchantKind::SelfOperated },
                refused_categories: terms.refused.iter().map(|&it| it.into()).collect(),
                fee_rate: FeeRate::parse(&format!("0.{:06}", terms.fee)).unwrap(),
            };
            wallet.set_merchant(&part(MERCHANTS[*merchant]), &terms).await?;
            done("set", None)
        }
        Verb::Promotion { id, terms } => {
            let made = wallet.make_promotion(&part(id), terms).await?;
            done("made", Some(!made))
        }
        Verb::Recharge { id, user: no, channel, amount, promotion } => {
            let (id, promotion) = (TransactionId(*id), promotion.as_deref().map(part));
            let (user, amount, channel) = (user(*no), Amount(*amount), *channel);
            let request = RechargeRequest { id, user, channel, amount, promotion };
            done("pending", Some(wallet.recharge(request).await?.replayed))
        }
        Verb::Notify { channel, order, paid, amount, reference, paid_at } => {
            let result = ChannelResult {
                channel: *channel,
                notification: format!("n-{reference}"),
                order: TransactionId(*order),
                paid: *paid,
                amount: Amount(*amount),
                reference: reference.clone(),
                paid_at: Timestamp(*paid_at),
            };
            done(notified(wallet.notified(&result).await?), None)
        }
        Verb::Pay { id, request, auth: shown } => {
            let units = request.total().unwrap_or_default().units();
            let who = [request.user.as_str(), request.merchant.as_str()];
            let auth = auth(shown, tokens, ("payment", *id), who, units);
            let paid = wallet.pay(TransactionId(*id), request, auth.as_ref()).await?;
            let legs: Vec<_> = paid
                .legs
                .iter()
                .map(|leg| {
                    format!(
                        "{} {} {:?} {}",
                        source(leg.source),
                        leg.amount.units(),
                        leg.state,
                        leg.refundable.units()
                    )
                })
                .collect();
            let said =
                format!("{:?} {} off {} {legs:?}", paid.status, paid.total.units(), paid.discount.units());
            Answer { until: paid.expires_at.map(|at| at.0), ..done(said, Some(paid.replayed)) }
        }
        Verb::Cancel { id } => {
            let view = wallet.cancel_payment(TransactionId(*id)).await?;
            done("cancelled", Some(view.replayed))
        }
        Verb::Refund { id, request } => {
            let refund = wallet.refund(TransactionId(*id), request).await?;
            let legs: Vec<_> = refund
                .legs
                .iter()
                .map(|leg| format!("{} {}", source(leg.source), leg.amount.units()))
                .collect();
            done(format!("refunded {legs:?}"), Some(refund.replayed))
        }
        Verb::Transfer { id, user: no, to, amount, auth: shown } => {
            let auth = auth(shown, tokens, ("transfer", *id), [USERS[*no], USERS[*to]], *amount);
            let (id, amount) = (TransactionId(*id), Amount(*amount));
            let order = TransferOrder { id, user: user(*no), to: user(*to), amount };
            done("transferred", Some(wallet.transfer(order, auth.as_ref()).await?.replayed))
        }
        Verb::Wealth { user: no, enabled, keep } => {
            wallet.set_wealth(&user(*no), WealthView { enabled: *enabled, keep: Amount(*keep) }).await?;
            done("set", None)
        }
        Verb::Redeem { id, user: no, amount } => {
            let amount = RequestedAmount::parse(amount);
            done("redeemed", Some(wallet.redeem(TransactionId(*id), &user(*no), &amount).await?.replayed))
        }
        Verb::WealthDay { date, rate } => {
            let rate = IncomeRate::parse(RATES[*rate].0).unwrap();
            let day = wallet.pay_wealth_day(*date, rate).await?;
            let (credited, remainder) = (day.credited.units(), day.remainder.units());
            done(
                format!("credited {credited} remainder {remainder} wallets {}", day.wallets),
                Some(day.replayed),
            )
        }
        other => unreachable!("{other:?} is asked before"),
    })
}

pub(crate) fn source(source: LegSource) -> &'static str {
    match source {
        LegSource::Balance => "balance",
        LegSource::Channel(channel) => channel.as_str(),
        LegSource::Promotion => "promotion",
    }
}

fn reason(reason: Option<SuspenseReason>) -> &'static str {
    reason.map_or("-", SuspenseReason::as_str)
}

fn notified(notified: Notified) -> String {
    match notified {
        Notified::Credited => "credited".into(),
        Notified::Settled => "settled".into(),
        Notified::Failed => "failed".into(),
        Notified::Suspended(why) => format!("suspended {}", why.as_str()),
        Notified::Unchanged(why) => format!("unchanged {}", reason(why)),
    }
}

/// A payment as it is shown.
pub(crate) fn payment_text(view: &PaymentView) -> String {
    let legs: Vec<_> = view
        .legs
        .iter()
        .map(|leg| {
            format!(
                "{} {} {:?} {}",
                source(leg.source),
                leg.amount.units(),
                leg.state,
                leg.refundable.units()
            )
        })
        .collect();
    let items: Vec<_> =
        view.items.iter().map(|item| (item.discount.units(), item.refundable.units())).collect();
    let refunds: Vec<_> = view.refunds.iter().map(|it| (it.id.0, it.request.amount.units())).collect();
    let (total, off, left) = (view.total.units(), view.discount.units(), view.refundable.units());
    format!("{:?} {total} off {off} {legs:?} {items:?} left {left} refunds {refunds:?}", view.status)
}

/// A recharge as it is shown.
pub(crate) fn recharge_text(view: &RechargeView) -> String {
    let (bonus, reference) = (view.bonus.map(Amount::units), view.reference.as_deref());
    let paid_at = view.paid_at.map(|at| at.0);
    format!(
        "{:?} bonus {bonus:?} reference {reference:?} at {paid_at:?} {}",
        view.status,
        reason(view.reason)
    )
}

pub(crate) fn item(name: &str, category: usize, amount: u64) -> Item {
    let kind = if name == "way" {
        yue_engine::wallet::ItemKind::Shipping
    } else {
        yue_engine::wallet::ItemKind::Goods
    };
    Item { name: name.into(), kind, category: CATEGORIES[category].into(), amount: Amount(amount) }
}

pub(crate) fn full_price(request: &PaymentRequest) -> bool {
    request.on_exhausted == OnExhausted::FullPrice
}
