//! The trial balance: debits equal credits, for each asset.

use serde::Deserialize;

use super::Audit;
use crate::closed::{self, After};
use crate::wire::Endpoint;

/// The trial balance as the server shows it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Shown {
    pub(crate) position: u64,
    assets: Vec<Asset>,
}

/// One asset's turnover since the ledger began.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Asset {
    asset: String,
    pub(crate) debits: String,
    pub(crate) credits: String,
    balanced: bool,
}

impl Shown {
    /// The turnover of yuan, in fen; zero if there was none.
    pub(crate) fn turnover(&self) -> Option<i128> {
        let yuan = self.assets.iter().find(|asset| asset.asset == "CNY");
        yuan.map_or(Some(0), |asset| crate::money::parse_signed(&asset.debits))
    }

    /// The assets whose sides differ, by the server's word or by its figures.
    pub(crate) fn unbalanced(&self) -> Vec<String> {
        self.assets
            .iter()
            .filter(|asset| !asset.balanced || asset.debits != asset.credits)
            .map(|asset| format!("{}: debits {}, credits {}", asset.asset, asset.debits, asset.credits))
            .collect()
    }
}

/// Asks for the trial balance.
pub(crate) fn read(endpoint: &Endpoint) -> Result<Shown, String> {
    let mut shown = None;
    closed::each(
        endpoint,
        1,
        &[()],
        |(), out| endpoint.get(out, "/v1/trial-balance"),
        |(), answer| match answer.status {
            429 | 503 => Ok(After::Again),
            200 => {
                shown = Some(
                    serde_json::from_slice(&answer.body)
                        .map_err(|error| format!("trial balance: {error}"))?,
                );
                Ok(After::Next)
            }
            _ => Err(format!("no trial balance: {}", answer.excerpt())),
        },
    )?;
    shown.ok_or_else(|| "no trial balance".to_owned())
}

/// The ledger's position now.
pub(crate) fn position(endpoint: &Endpoint) -> Result<u64, String> {
    read(endpoint).map(|shown| shown.position)
}

/// Each asset balanced.
pub(super) fn check(audit: &Audit) -> Result<(String, Vec<String>), String> {
    let shown = read(&audit.endpoint)?;
    let assets: Vec<&str> = shown.assets.iter().map(|asset| asset.asset.as_str()).collect();
    let measured = format!("{} at position {}", assets.join(", "), shown.position);
    Ok((measured, shown.unbalanced()))
}
