//! How long a start takes after kill -9 with a large journal, and what happens to a damaged one.

use std::{
    io::{BufRead, BufReader},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use yue_engine::Engine;

use crate::{
    Arguments,
    workload::{Workload, config},
};

/// Runs the transfers, says so, and goes on until it is killed.
pub(crate) async fn victim(arguments: &Arguments, data: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let work = arguments.workload();
    let engine = Engine::open(config(data, arguments.shards))?;
    work.prepare(&engine).await;
    work.run(&engine).await;
    work.check(&engine).await;
    println!("done");
    let more = Workload { random_ids: true, transfers: u64::MAX, ..work };
    more.run(&engine).await;
    Ok(())
}

pub(crate) async fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let data = arguments.data()?;
    let mut victim = Command::new(std::env::current_exe()?)
        .args(["victim", "--data"])
        .arg(data.path())
        .args([
            "--transfers",
            &arguments.transfers.to_string(),
            "--accounts",
            &arguments.accounts.to_string(),
        ])
        .args(arguments.shards.map(|shards| format!("--shards={shards}")))
        .stdout(Stdio::piped())
        .spawn()?;
    let said = BufReader::new(victim.stdout.take().ok_or("no output")?).lines().next();
    assert_eq!(said.transpose()?.as_deref(), Some("done"), "the victim did its transfers");
    std::thread::sleep(std::time::Duration::from_millis(500));
    victim.kill()?;
    victim.wait()?;

    let started = Instant::now();
    let engine = Engine::open(config(data.path(), arguments.shards))?;
    let ready = started.elapsed();
    let balance = engine.trial_balance().await?;
    assert!(balance.position.0 >= arguments.transfers, "all acknowledged transfers are there");
    assert!(balance.assets.iter().all(|totals| totals.debits == totals.credits), "the books balance");
    println!("figure restart_records {} records", balance.position);
    println!("figure restart_ready {:.2} s", ready.as_secs_f64());
    engine.close();

    let started = Instant::now();
    let report = yue_engine::audit::verify(data.path(), &mut |_| {})?;
    println!("figure verify {:.2} s", started.elapsed().as_secs_f64());
    assert!(report.is_sound(), "verification finds nothing: {report:?}");
    refuse_damage(arguments, data.path())
}

/// Flips one byte in the middle of the largest file of the journal: the start must refuse.
fn refuse_damage(arguments: &Arguments, data: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let (path, length) = largest_file(&data.join("journal"))?;
    let file = std::fs::File::options().read(true).write(true).open(&path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, length / 2)?;
    file.write_all_at(&[byte[0] ^ 1], length / 2)?;
    file.sync_all()?;
    let refusal = match Engine::open(config(data, arguments.shards)) {
        Ok(_) => return Err("a damaged journal was accepted".into()),
        Err(error) => error.to_string(),
    };
    eprintln!("a byte flipped at {} of {}: {refusal}", length / 2, path.display());
    assert!(refusal.contains("position"), "the refusal names the position: {refusal}");
    println!("figure restart_damage_refused 1 refusal");
    Ok(())
}

fn largest_file(directory: &Path) -> std::io::Result<(PathBuf, u64)> {
    let mut largest = (PathBuf::new(), 0);
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let length = entry.metadata()?.len();
        if length > largest.1 {
            largest = (entry.path(), length);
        }
    }
    Ok(largest)
}
