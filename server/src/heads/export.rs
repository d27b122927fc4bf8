//! When a head is signed: after a start, at each interval, and after the engine has ended.
//!
//! Owns the task. Never stops the server: a head that can't be written is logged and counted, and the next one is tried.

use std::time::Duration;

use tokio::{
    sync::oneshot,
    task::{JoinError, JoinHandle, spawn_blocking},
    time::{MissedTickBehavior, interval},
};
use yue_engine::engine::Engine;

use super::HeadsLog;
use crate::app::App;

/// The running task.
pub(crate) struct Exporter {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<HeadsLog, JoinError>>,
}

impl Exporter {
    /// Exports the head as it is, and again at each interval if it has moved.
    pub(crate) fn start(log: HeadsLog, every: Duration, app: App, engine: Engine) -> Self {
        if let Some(head) = log.last() {
            app.head_signed(head);
        }
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut log = log;
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    // The sender's end, too.
                    _ = &mut stopped => return Ok(log),
                    _ = ticks.tick() => log = export(log, app.clone(), engine.clone()).await?,
                }
            }
        });
        Self { stop, task }
    }

    /// Ends the task; gives back what to export the last head with.
    pub(crate) async fn end(self) -> Result<HeadsLog, JoinError> {
        let Self { stop, task } = self;
        // A task that has ended says why.
        let _ = stop.send(());
        task.await?
    }
}

/// Exports the head, if it has moved.
pub(crate) async fn export(mut log: HeadsLog, app: App, engine: Engine) -> Result<HeadsLog, JoinError> {
    spawn_blocking(move || {
        match log.append(engine.synced_head(), engine.now()) {
            Ok(Some(head)) => {
                app.head_signed(head);
                app.telemetry().head_signed();
            }
            Ok(None) => {}
            Err(error) => {
                app.telemetry().head_failed();
                tracing::error!(%error, "a signed head was not written");
            }
        }
        log
    })
    .await
}
