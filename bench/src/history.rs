//! How fast an account's past can be read when it is long.

use std::time::{Duration, Instant};

use yue_engine::{
    Engine,
    view::{HistoryQuery, Point},
};

use crate::{
    Arguments,
    workload::{Numbers, Workload, config},
};

/// Rows of a page.
const PAGE: usize = 100;
/// Pages that are timed each way.
const PAGES: usize = 200;

pub(crate) async fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let data = arguments.data()?;
    let work = Workload { hot_every: 10, ..arguments.workload() };
    let engine = Engine::open(config(data.path(), arguments.shards))?;
    work.prepare(&engine).await;
    eprintln!("{} transfers, every tenth to one account", work.transfers);
    work.run(&engine).await;
    work.check(&engine).await;
    let hot = Workload::hot_address();
    let entries = work.transfers / work.hot_every;
    println!("figure history_entries {entries} entries");
    let query = HistoryQuery { limit: PAGE, ..HistoryQuery::default() };

    // From the newest on, page by page: each follows the one before.
    let mut cursor = None;
    let mut newest = Vec::new();
    let mut balance = engine.account(&hot).expect("the account is open").posted;
    for _ in 0..PAGES {
        let started = Instant::now();
        let page =
            engine.history(&hot, HistoryQuery { cursor, ..query }).await?.expect("the account is open");
        newest.push(started.elapsed());
        for row in page.items {
            assert_eq!(row.balance, balance, "each row's balance is the one before the next row");
            balance -= i128::from(row.amount.units());
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    report("history_page_newest", newest);

    // Anywhere in it.
    let head = engine.trial_balance().await?.position.0;
    let mut numbers = Numbers(618);
    let mut anywhere = Vec::new();
    let mut balances = Vec::new();
    for _ in 0..PAGES {
        let position = yue_engine::model::Position(head - numbers.below(head / 2));
        let started = Instant::now();
        let point = engine.balance_at(&hot, Point::Position(position)).await?.expect("the account was open");
        balances.push(started.elapsed());
        let started = Instant::now();
        let page = engine
            .history(&hot, HistoryQuery { to: Some(point.at.plus_nanos(1)), ..query })
            .await?
            .expect("the account is open");
        anywhere.push(started.elapsed());
        let first = page.items.first().expect("a page from inside has rows");
        assert_eq!((first.position, first.balance), (point.position, point.posted), "both reads agree");
    }
    report("history_page_by_time", anywhere);
    report("balance_at_position", balances);
    engine.close();
    Ok(())
}

fn report(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    for (label, percent) in [("p50", 50), ("p99", 99)] {
        let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        let time = times.get(index).copied().unwrap_or_default();
        println!("figure {name}_{label} {:.3} ms", time.as_secs_f64() * 1e3);
    }
}
