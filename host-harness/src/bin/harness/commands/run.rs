//! `harness run`

use std::time::Instant;

use host_harness::{Call, CancellationToken, Connection, Effect, Harness, Output};

use super::filing::{self, Filed};
use super::{attach, detach, jobs};
use crate::args::{Global, Run};
use crate::failure::Result;
use crate::input;
use crate::interrupt::cancellable;
use crate::output::{Style, print};
use crate::progress::Progress;
use crate::result_file::ResultFile;
use crate::session::Session;
use crate::terminal::Terminal;

pub(super) async fn perform(args: &Run, global: &Global, terminal: &Terminal) -> Result<()> {
    let input = input::text(&args.input)?;
    // Before all else: a file that cannot be there is no reason to begin.
    let file = Filed::create(&args.filing)?;
    let session = Session::open(global, &args.connection, terminal).await?;
    let mut call = Call {
        action: args.action.clone(),
        input,
        id: args.id.clone(),
        deadline: args.timing.timeout,
        on_deadline: args.timing.on_timeout.into(),
    };
    let description = session.harness.describe().await?;
    let reads = description.action(&args.action).is_none_or(|it| it.effect == Effect::Reads);
    if !reads {
        jobs::mention_interrupted(&session, terminal).await;
    }
    if let Some(file) = &file
        && let Some(form) = filing::form_of(file.path(), description, &args.action)
    {
        call.input = input::with_default(call.input, form);
    }
    if args.detach {
        return detach::perform(args, call, &session, global, terminal).await;
    }
    let style = Style::of(&args.printing);
    if let Some(id) = &call.id
        && !reads
    {
        let journal = session.harness.journal().await?;
        if let Some(record) = attach::attended(journal, id).await? {
            // Checks that it is the same call.
            session.harness.hand_over(&session.connection, call).await?;
            let output = attach::wait(journal, &record.id, terminal).await?;
            return match file {
                Some(file) => file.keep(output, terminal).await,
                None => print(&output, style, terminal),
            };
        }
    }
    if let Some(file) = file {
        let Session { harness, connection, .. } = &session;
        let stream = async |progress: &Progress, cancelled, sink: &mut ResultFile| {
            harness.invoke_into(connection, call, progress, cancelled, sink).await
        };
        let written = file.fill(harness, stream, terminal).await;
        return written.map_err(|failure| session.explain(failure));
    }
    let invoked = invoke(&session.harness, &session.connection, call, terminal).await;
    let output = invoked.map_err(|failure| session.explain(failure).about_size())?;
    print(&output, style, terminal)
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
    let result = cancellable(invocation, &cancelled, &progress, harness).await;
    progress.finish();
    terminal.detail(format_args!("took {:.0?}", started.elapsed()));
    Ok(result?)
}
