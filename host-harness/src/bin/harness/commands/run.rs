//! `harness run`

use std::time::Instant;

use host_harness::{Call, CancellationToken, Connection, Harness, Output};

use crate::args::{Global, Run};
use crate::failure::Result;
use crate::input;
use crate::interrupt::cancellable;
use crate::output::{Style, print};
use crate::progress::Progress;
use crate::session::Session;
use crate::terminal::Terminal;

pub(super) async fn perform(args: &Run, global: &Global, terminal: &Terminal) -> Result<()> {
    let input = input::text(&args.input)?;
    let session = Session::open(global, &args.connection, terminal).await?;
    let call = Call {
        action: args.action.clone(),
        input,
        id: args.id.clone(),
        deadline: args.timeout,
        on_deadline: args.on_timeout.into(),
    };
    let invoked = invoke(&session.harness, &session.connection, call, terminal).await;
    let output = invoked.map_err(|failure| session.explain(failure))?;
    print(&output, Style { format: args.output, columns: &args.columns }, terminal)
}

/// Performs the action under the eyes of people, who may cancel it.
pub(super) async fn invoke(
    harness: &Harness,
    connection: &Connection,
    call: Call,
    terminal: &Terminal,
) -> Result<Output> {
    let progress = Progress::new(terminal);
    let cancelled = CancellationToken::new();
    let started = Instant::now();
    let invocation = harness.invoke(connection, call, &progress, cancelled.clone());
    let result = cancellable(invocation, &cancelled, &progress).await;
    progress.finish();
    terminal.detail(format_args!("took {:.0?}", started.elapsed()));
    Ok(result?)
}
