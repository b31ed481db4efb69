//! `harness logs`

use std::time::{Duration, UNIX_EPOCH};

use crate::args::Global;
use crate::failure::Result;
use crate::output::line;
use crate::session;
use crate::terminal::harmless;

const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

pub(super) async fn perform(id: &str, follow: bool, global: &Global) -> Result<()> {
    let journal = session::journal(global).await?;
    let mut told = 0;
    loop {
        // Looked up before the lines, so that none is missed that it wrote last.
        let record = journal.find(id).await?;
        for logged in journal.log(&record.id, told).await? {
            told = logged.number;
            let at = UNIX_EPOCH + Duration::from_millis(logged.at_ms);
            let at = humantime::format_rfc3339_millis(at);
            line(&format!("{at} {}", harmless(&logged.text, &[])))?;
        }
        if !follow || !record.status.is_open() || !record.is_attended {
            return Ok(());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
