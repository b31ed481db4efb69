//! `harness workspace`

use crate::failure::{Failure, Result};
use crate::local;
use crate::output::line;
use crate::terminal::Terminal;

pub(super) async fn perform(port: Option<u16>, terminal: &Terminal) -> Result<()> {
    let workspace = local::start(port.unwrap_or(0))?;
    terminal.note(format_args!(
        "# a workspace of this machine's own at {}, until Ctrl-C; save this as local.toml, then:\n\
         #   harness run listClusters --config local.toml\n",
        workspace.origin()
    ));
    line(&local::snippet(&workspace))?;
    tokio::signal::ctrl_c()
        .await
        .map_err(|error| Failure::file("Ctrl-C cannot be waited for", &error))
}
