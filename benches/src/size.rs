//! Size of the component.

use anyhow::Result;

use crate::figures::report;
use crate::rig;

pub(crate) fn run() -> Result<()> {
    let bytes = std::fs::metadata(rig::component()?)?.len();
    report("size: connector.wasm", &format!("{bytes} bytes"), "at most 700 KB");
    Ok(())
}
