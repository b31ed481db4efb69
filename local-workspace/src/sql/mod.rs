//! The SQL engine: Databricks SQL, translated statement by statement to SQLite, with Databricks' types and exact decimals.
//!
//! A statement is parsed, bound to the catalog (which gives every expression its type) and rewritten in SQLite's words.
//! Decimals are text inside and are calculated with by functions of our own, so every digit stays; timestamps are text in
//! UTC with milliseconds; arrays, maps and structs are JSON text. Not there: MERGE, views, recursive WITH, semi and anti
//! joins, ROLLUP, QUALIFY, lambdas, time travel, regular expressions, NaN (which SQLite makes NULL).

mod bind;
mod calls;
mod catalog;
mod coerce;
mod decimal;
mod failure;
mod from;
mod functions;
mod intervals;
mod nested;
mod numbers;
mod operators;
mod output;
mod plan;
mod scope;
mod select;
mod show;
mod store;
mod types;
mod values;

use sqlparser::ast::Statement;
use sqlparser::dialect::DatabricksDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

pub(crate) use failure::Failure;
pub(crate) use store::{Database, Row};
pub(crate) use types::Type;

/// A statement as it was sent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Query<'a> {
    pub(crate) text: &'a str,
    pub(crate) catalog: Option<&'a str>,
    pub(crate) schema: Option<&'a str>,
    pub(crate) parameters: &'a [Parameter],
    pub(crate) user: &'a str,
}

#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    pub(crate) kind: Type,
}

/// A type as SQL spells it, such as `DECIMAL(12,2)`.
pub(crate) fn parse_type(text: &str) -> Result<Type, Failure> {
    let parsed = Parser::new(&DatabricksDialect {}).try_with_sql(text);
    let parsed = parsed.and_then(|mut parser| parser.parse_data_type());
    let unknown = || {
        Failure::bad("UNSUPPORTED_DATATYPE", "0A000", &format!("Unsupported data type \"{text}\"."))
    };
    Type::of(&parsed.map_err(|_| unknown())?)
}

fn parse(text: &str) -> Result<Statement, Failure> {
    let dialect = DatabricksDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location();
    let mut tokens = tokens.map_err(|e| syntax(e.into()))?;
    leave_out(&mut tokens);
    let parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
    let mut statements = { parser }.parse_statements().map_err(syntax)?;
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        (Some(_), false) => Err(Failure::syntax("Only one statement can be executed at a time.")),
        (None, _) => Err(Failure::syntax("Syntax error: unexpected end of statement.")),
    }
}

/// Takes out words that mean nothing here and that the parser stumbles over: TABLE after DESCRIBE, and the format of a
/// table that is created.
fn leave_out(tokens: &mut Vec<TokenWithSpan>) {
    let words: Vec<(usize, String)> = tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| !matches!(token.token, Token::Whitespace(_)))
        .map(|(at, token)| (at, token.token.to_string().to_uppercase()))
        .collect();
    let word = |n: usize| words.get(n).map(|(_, word)| word.as_str()).unwrap_or_default();
    let mut out: Vec<usize> = Vec::new();
    match (word(0), word(1)) {
        ("DESCRIBE" | "DESC", "TABLE") => out.push(1),
        ("CREATE", _) => {
            let format =
                |n: &usize| word(*n) == "USING" && matches!(word(n + 1), "DELTA" | "PARQUET");
            out.extend((0..words.len()).find(format).into_iter().flat_map(|n| [n + 1, n]));
        }
        _ => {}
    }
    for n in out {
        if let Some((at, _)) = words.get(n) {
            tokens.remove(*at);
        }
    }
}

/// In Databricks' form as far as the parser's text tells: `…, found: X at Line: 1, Column: 8`.
fn syntax(error: ParserError) -> Failure {
    let text = match error {
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => text,
        ParserError::RecursionLimitExceeded => "the statement is nested too deeply".to_owned(),
    };
    let (what, place) = text.split_once(" at Line: ").unwrap_or((&text, ""));
    let near = what.split_once("found: ").map_or("", |(_, near)| near);
    let mut failure = match near {
        "" => Failure::syntax(&format!("Syntax error: {what}.")),
        "EOF" => Failure::syntax("Syntax error at or near end of input."),
        near => Failure::syntax(&format!("Syntax error at or near '{near}'.")),
    };
    let column = place.split_once(", Column: ");
    if let Some((line, column)) = column.and_then(|(l, c)| Some((l, c.parse::<usize>().ok()?))) {
        let place = format!("; line {line} pos {}", column.saturating_sub(1));
        failure.message.push_str(&place);
    }
    failure
}
