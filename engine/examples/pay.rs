//! Opens accounts, recharges, pays, refunds, and prints the trial balance: `cargo run --example pay`.

use smallvec::smallvec;
use yue_engine::{
    Config, Engine,
    model::{
        AccountOpening, Address, Metadata, NormalSide, Operation, OperationKind, RequestedAmount,
        Transaction, TransactionId, format_units,
    },
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = tempfile::tempdir()?;
    let engine = Engine::open(Config::new(data.path()))?;

    // A channel's receivable grows by debits, customers' and merchants' money by credits.
    for (address, normal) in [
        ("channels:wechat", NormalSide::Debit),
        ("customers:42", NormalSide::Credit),
        ("merchants:jd-self", NormalSide::Credit),
    ] {
        let opening = AccountOpening {
            address: Address::parse(address)?,
            asset: "CNY".into(),
            normal,
            floor: Some(0),
            ceiling: None,
            limits: Vec::new(),
            metadata: Metadata::default(),
            managed: false,
        };
        engine.open_account(opening).await?;
    }

    let transfer =
        |debit: &str, credit: &str, amount: &str| -> Result<OperationKind, Box<dyn std::error::Error>> {
            Ok(OperationKind::Transfer {
                debit: Address::parse(debit)?,
                credit: Address::parse(credit)?,
                amount: RequestedAmount::parse(amount),
            })
        };
    let submit = async |id: TransactionId, kind: OperationKind| {
        let transaction = Transaction {
            id,
            operations: smallvec![Operation { kind, code: None }],
            code: None,
            reference: None,
            metadata: Metadata::default(),
            attachment: None,
        };
        engine.submit(transaction).await
    };
    let id = || TransactionId(uuid::Uuid::now_v7().as_u128());

    let recharge = submit(id(), transfer("channels:wechat", "customers:42", "100.00")?).await?;
    println!("recharge   {:?} at position {}", recharge.verdict, recharge.position);
    let payment = id();
    let paid = submit(payment, transfer("customers:42", "merchants:jd-self", "88.80")?).await?;
    println!("payment    {:?} at position {}", paid.verdict, paid.position);
    let again = submit(payment, transfer("customers:42", "merchants:jd-self", "88.80")?).await?;
    println!("sent again {:?} at position {}, replayed: {}", again.verdict, again.position, again.replayed);
    let refused = submit(id(), transfer("customers:42", "merchants:jd-self", "11.21")?).await?;
    println!("too much   {:?}", refused.verdict);
    let amount = Some(RequestedAmount::parse("8.80"));
    let refund = submit(id(), OperationKind::Reverse { transaction: payment, operation: 0, amount }).await?;
    println!("refund     {:?} at position {}", refund.verdict, refund.position);

    let balance = engine.trial_balance().await?;
    println!("\ntrial balance at position {}", balance.position);
    for row in &balance.groups {
        let show = |units: u128| format_units(i128::try_from(units).unwrap_or(i128::MAX), row.asset.scale);
        println!(
            "{:<12} {:<5} debits {:>8} credits {:>8}",
            row.prefix,
            row.asset.code,
            show(row.debits),
            show(row.credits)
        );
    }
    for totals in &balance.assets {
        assert_eq!(totals.debits, totals.credits, "the books balance");
    }
    engine.close();
    Ok(())
}
