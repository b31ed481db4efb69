//! `harness actions`

use host_harness::{Action, Effect};
use serde_json::json;

use crate::args::Global;
use crate::failure::Result;
use crate::output::{Paragraphs, line, print_json, text_table};
use crate::session;
use crate::terminal::Terminal;

const HEADER: [&str; 5] = ["Key", "Label", "Group", "Effect", "Description"];
const SHORT_HEADER: [&str; 4] = ["Key", "Label", "Group", "Effect"];
/// Narrower terminals have no room left for descriptions, which `harness describe` tells too.
const WIDE: usize = 100;

pub(super) async fn perform(json: bool, global: &Global, terminal: &Terminal) -> Result<()> {
    let harness = session::component(global)?;
    let description = harness.describe().await?;
    if json {
        let actions = description.actions.iter().map(|action| {
            json!({
                "key": action.key,
                "label": action.label,
                "group": action.group,
                "effect": action.effect,
                "description": action.description,
            })
        });
        return print_json(&actions.collect::<Vec<_>>(), terminal);
    }
    let actions = description.actions.iter();
    line(&match terminal.width() {
        Some(width) if width < WIDE => {
            text_table(SHORT_HEADER, actions.map(short_row), Paragraphs::Wrapped, terminal)
        }
        _ => text_table(HEADER, actions.map(row), Paragraphs::Wrapped, terminal),
    })?;
    terminal.note(format_args!(
        "{} {}: {} actions; `harness describe KEY` explains one",
        description.label,
        description.version,
        description.actions.len()
    ));
    Ok(())
}

fn row(action: &Action) -> [String; 5] {
    let [key, label, group, effect] = short_row(action);
    [key, label, group, effect, action.description.replace('\n', " ")]
}

fn short_row(action: &Action) -> [String; 4] {
    let effect = effect(action.effect).to_owned();
    [action.key.clone(), action.label.clone(), action.group.clone(), effect]
}

/// What the action does to the service, in a word.
pub(super) fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Reads => "reads",
        Effect::Writes => "writes",
        Effect::Destroys => "destroys",
    }
}
