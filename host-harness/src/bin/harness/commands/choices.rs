//! `harness choices`

use host_harness::{Choice, ChoicePage};

use crate::args::{Choices, Global};
use crate::failure::{Failure, Result};
use crate::input;
use crate::output::{Format, Paragraphs, line, print_json, text_table};
use crate::session::Session;
use crate::terminal::{Terminal, harmless};

const HEADER: [&str; 3] = ["Value", "Label", "Detail"];

pub(super) async fn perform(args: &Choices, global: &Global, terminal: &Terminal) -> Result<()> {
    let input = input::text(&args.input)?;
    let session = Session::open(global, &args.connection, terminal).await?;
    let page = session.harness.choices(
        &session.connection,
        &args.source,
        &input,
        args.search.as_deref(),
        args.page_token.as_deref(),
    );
    let page = page.await.map_err(|error| session.explain(Failure::from(error)))?;
    print(&page, args.output, terminal)
}

fn print(page: &ChoicePage, format: Option<Format>, terminal: &Terminal) -> Result<()> {
    let is_table = format == Some(Format::Table) || format.is_none() && terminal.width().is_some();
    if !is_table {
        return print_json(page, terminal);
    }
    let rows = page.choices.iter().map(row);
    line(&text_table(HEADER, rows, Paragraphs::OneLine, terminal))?;
    if let Some(next) = &page.next {
        terminal.note(format_args!("there are more: --page-token {}", harmless(next, &[])));
    }
    Ok(())
}

fn row(choice: &Choice) -> [String; 3] {
    let value = choice.value.get();
    let text = serde_json::from_str::<String>(value).unwrap_or_else(|_| value.to_owned());
    [text, choice.label.clone(), choice.detail.clone().unwrap_or_default()]
}
