//! The wallets of the measurement, opened and funded in process: a million of them over HTTP would take longer than all
//! the rest.

use std::path::Path;

use smallvec::SmallVec;
use tokio::task::JoinSet;
use yue_engine::{
    Engine,
    model::{
        AccountOpening, Address, Amount, Attachment, Metadata, NormalSide, Operation, OperationKind,
        RequestedAmount, Transaction, TransactionId,
    },
    wallet::{Class, Part, Secrets, Settings, Wallet, WealthView},
};

use super::{BALANCE, Day, KEEP, shares_of};
use crate::{Arguments, workload::config};

/// Calls in flight.
const IN_FLIGHT: usize = 2_048;

pub(crate) async fn prepare(
    arguments: &Arguments,
    day: Day,
    data: &Path,
) -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::open(config(data, arguments.shards))?;
    // No secret is used: the server has its own.
    let secrets = Secrets { pepper: [0; 32], token_key: [0; 32], channel_keys: Vec::new() };
    let wallet = Wallet::new(engine.clone(), Settings::default(), secrets);
    engine
        .open_account(AccountOpening {
            address: address("channels:bank-card"),
            asset: "CNY".into(),
            normal: NormalSide::Debit,
            floor: None,
            ceiling: None,
            limits: Vec::new(),
            metadata: Metadata::default(),
            managed: false,
        })
        .await?;
    let mut tasks = JoinSet::new();
    for no in 0..day.wallets {
        tasks.spawn(open(wallet.clone(), no, no.is_multiple_of(day.swept_every.get())));
        while tasks.len() >= IN_FLIGHT
            && let Some(opened) = tasks.join_next().await
        {
            opened??;
        }
        if no % 100_000 == 0 {
            eprintln!("  {no} wallets");
        }
    }
    while let Some(opened) = tasks.join_next().await {
        opened??;
    }
    drop(wallet);
    engine.close();
    Ok(())
}

async fn open(wallet: Wallet, no: u64, swept: bool) -> Result<(), yue_engine::wallet::WalletError> {
    let user = Part::parse(&format!("u{no}")).expect("a valid name");
    wallet.open_customer(&user, Class::III).await.map(drop)?;
    let funded = wallet.engine().submit(funding(no)).await;
    assert_eq!(funded.expect("it is not overloaded").verdict, Ok(()));
    if swept {
        wallet.set_wealth(&user, WealthView { enabled: true, keep: Amount(KEEP) }).await?;
    }
    Ok(())
}

fn address(name: &str) -> Address {
    Address::parse(name).expect("a valid address")
}

/// What a recharge and a purchase of shares would submit.
fn funding(no: u64) -> Transaction {
    let (own, shares) = (address(&format!("customers:u{no}")), shares_of(no));
    let channel = address("channels:bank-card");
    let bought = address(&format!("{own}:wealth"));
    let transfer = |debit: &Address, credit: &Address, units: u64, code: &'static str| Operation {
        kind: OperationKind::Transfer {
            debit: debit.clone(),
            credit: credit.clone(),
            amount: RequestedAmount::from_units(Amount(units), 2),
        },
        code: Some(code.into()),
    };
    let operations = [
        transfer(&channel, &own, BALANCE + shares, "recharge"),
        transfer(&own, &bought, shares, Settings::WEALTH_BUY),
    ];
    let document = b"bench".as_slice().into();
    Transaction {
        id: TransactionId(u128::from(no)),
        operations: SmallVec::from_iter(operations),
        code: None,
        reference: None,
        metadata: Metadata::default(),
        attachment: Some(Box::new(Attachment { document, aliases: Vec::new(), cells: Vec::new() })),
    }
}
