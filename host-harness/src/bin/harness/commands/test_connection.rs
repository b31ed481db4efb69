//! `harness test-connection`

use std::time::Instant;

use host_harness::Call;

use super::run::invoke;
use crate::args::{ConnectionArgs, Global};
use crate::failure::Result;
use crate::output::{Format, Style, line, print};
use crate::session::Session;
use crate::terminal::{SUCCESS, Terminal};

pub(super) async fn perform(
    args: &ConnectionArgs,
    global: &Global,
    terminal: &Terminal,
) -> Result<()> {
    let session = Session::open(global, args, terminal).await?;
    let started = Instant::now();
    let action = session.harness.describe().await?.connection_test.clone();
    let call = Call { action, input: "{}".to_owned(), ..Call::default() };
    let invoked = invoke(&session.harness, &session.connection, call, terminal).await;
    let output = invoked.map_err(|failure| session.explain(failure))?;
    let (name, origin) = (session.connection.name(), session.connection.origin());
    let time = started.elapsed();
    line(&format!("{SUCCESS}ok{SUCCESS:#}  {name} connects to {origin} ({time:.0?})"))?;
    if terminal.is_verbose() {
        print(&output, Style { format: Some(Format::Json), columns: &[] }, terminal)?;
    }
    Ok(())
}
