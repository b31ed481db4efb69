//! By how much a call outlasts its limits at the worst, over every way in which a server can keep a client waiting.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fault_server::{Act, Answer, FaultServer, Rule, Stage};
use host_harness::{Call, CancellationToken, ErrorKind, Harness, Limits};

use crate::figures::report;
use crate::rig::{Rig, component};

const LIMIT: Duration = Duration::from_millis(500);
/// Longer than anything here lasts.
const NEVER: Duration = Duration::from_secs(60);

/// How a server keeps a client waiting, and how much of a limit that may take.
struct Wait {
    stage: Stage,
    act: Act,
    /// Bytes of the request's body.
    sent: usize,
    limits: u32,
}

fn waits() -> Vec<Wait> {
    let wait = |stage, act, limits| Wait { stage, act, sent: 0, limits };
    let drip = || Act::Drip { bytes: 1, pause: Duration::from_millis(20) };
    vec![
        wait(Stage::AfterAccept, Act::Stall, 1),
        wait(Stage::AfterHead, Act::Stall, 1),
        wait(Stage::AfterEffect, Act::Stall, 1),
        wait(Stage::AfterEffect, drip(), 1),
        wait(Stage::MidHead, Act::Stall, 1),
        wait(Stage::MidHead, drip(), 1),
        wait(Stage::MidBody, Act::Stall, 1),
        // The first window is free.
        wait(Stage::MidBody, drip(), 2),
        Wait { sent: 8 << 20, ..wait(Stage::AfterHead, Act::Stall, 1) },
    ]
}

pub(crate) fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let rig = Rig::start()?;
        let each = |limits: &mut Limits| {
            limits.first_byte = LIMIT;
            limits.between_bytes = LIMIT;
            limits.write_idle = LIMIT;
            limits.rate_window = LIMIT;
        };
        let none = |limits: &mut Limits| {
            limits.first_byte = NEVER;
            limits.between_bytes = NEVER;
            limits.write_idle = NEVER;
            limits.rate_window = NEVER;
        };
        let of_each = worst(&rig, each, None).await?;
        report("deadlines: over the limit of the wait", &millis(of_each), "at most 500 ms");
        let of_call = worst(&rig, none, Some(2 * LIMIT)).await?;
        report("deadlines: over the deadline of the call", &millis(of_call), "at most 500 ms");
        Ok(())
    })
}

fn millis(time: Duration) -> String {
    format!("{:.0} ms at the worst", time.as_secs_f64() * 1000.0)
}

/// The longest time that a call took beyond what it is granted.
async fn worst(
    rig: &Rig,
    change: impl Fn(&mut Limits),
    deadline: Option<Duration>,
) -> Result<Duration> {
    let mut settings = rig.settings();
    change(&mut settings.limits);
    let harness = Harness::load(&component()?, settings)?;
    let mut worst = Duration::ZERO;
    for wait in waits() {
        let server = FaultServer::start()?;
        server.answer("*", Answer::json("x".repeat(64 << 10)));
        server.rule(Rule::always(wait.stage, vec![wait.act.clone()]));
        let connection = harness.connect(rig.connection_to(server.origin())).await?;
        let data = "x".repeat(wait.sent);
        let call = Call {
            action: "rawRequest".to_owned(),
            input: format!(r#"{{"method":"POST","url":"/2.0/x","data":"{data}"}}"#),
            deadline,
            ..Call::default()
        };
        let granted = deadline.unwrap_or(LIMIT * wait.limits);
        let started = Instant::now();
        let outcome = harness.invoke(&connection, call, &(), CancellationToken::new()).await;
        let took = started.elapsed();
        let is_late = outcome.as_ref().is_err_and(|error| {
            [ErrorKind::Timeout, ErrorKind::OutcomeUnknown].contains(&error.kind)
        });
        ensure!(is_late, "{:?} at {:?} was no timeout: {outcome:?}", wait.act, wait.stage);
        ensure!(took >= granted, "{:?} at {:?} ended early", wait.act, wait.stage);
        worst = worst.max(took - granted);
    }
    Ok(worst)
}
