//! A connector's description as the harness uses it, and what is demanded of it before it is used.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::call::{Output, Value};
use crate::component::invalid;
use crate::depth;
use crate::description::{Description, Endpoint};
use crate::error::{Delivery, Error, ErrorKind};
use crate::schema::{self, Checker, Fault};
use crate::scrub::{clip, printable};
use crate::settings::Limits;

/// A connector's description, with what calls need of it at hand.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) description: Description,
    pub(crate) actions: HashMap<String, Offer>,
    pub(crate) choices: HashMap<String, Arc<[Endpoint]>>,
}

/// What the harness knows of an action while it is performed.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) endpoints: Arc<[Endpoint]>,
    /// Index in the description.
    index: usize,
    /// Read off the output schema when the action is first used.
    types: OnceLock<Vec<String>>,
}

impl Catalog {
    pub(crate) fn new(description: Description) -> Self {
        let offer = |(index, action): (usize, &crate::description::Action)| {
            let endpoints = Arc::from(action.endpoints.as_slice());
            (action.key.clone(), Offer { endpoints, index, types: OnceLock::new() })
        };
        let choices = description.choices.iter();
        Self {
            actions: description.actions.iter().enumerate().map(offer).collect(),
            choices: choices.map(|c| (c.key.clone(), Arc::from(c.endpoints.as_slice()))).collect(),
            description,
        }
    }

    /// Checks the result of an action, as far as that costs less than the result is worth: JSON is complete, and of a type
    /// that the action's output schema names.
    ///
    /// Results are mostly the service's own answers, passed on as they came. To hold them against all of a schema, they
    /// would have to be parsed, which takes ten times longer than to pass them on, and a service that adds a value to an
    /// enumeration would break flows that never look at it.
    pub(crate) fn check(&self, offer: &Offer, output: &Output) -> Result<(), Error> {
        let Value::Json(json) = &output.value else { return self.check_type(offer, output, None) };
        serde_json::from_str::<IgnoredAny>(json)
            .map_err(|error| unfit(&format!("it is not JSON: {error}")))?;
        if depth::is_too_deep(json) {
            return Err(unfit(depth::TOO_DEEP));
        }
        let first = json.trim_ascii_start().as_bytes().first().copied();
        self.check_type(offer, output, Some(type_of(first)))
    }

    /// The same for a result that is known to be complete; `found` is the type of JSON.
    pub(crate) fn check_type(
        &self,
        offer: &Offer,
        output: &Output,
        found: Option<&str>,
    ) -> Result<(), Error> {
        if output.content_type.len() > 200 || output.content_type.contains(char::is_control) {
            return Err(unfit("its media type is not one"));
        }
        let Some(found) = found else { return Ok(()) };
        let expected = offer.types.get_or_init(|| self.types(offer));
        if expected.is_empty() || expected.iter().any(|name| is_a(found, name)) {
            return Ok(());
        }
        let expected = expected.join(" or ");
        Err(unfit(&format!(
            "it does not match its schema at the root: expected {expected}, got {found}"
        )))
    }

    fn types(&self, offer: &Offer) -> Vec<String> {
        let schema = self.description.actions.get(offer.index).map(|action| &action.output_schema);
        let top = schema.and_then(|schema| serde_json::from_str::<Top>(schema.get()).ok());
        match top.and_then(|top| top.types) {
            Some(Types::One(name)) => vec![name],
            Some(Types::Several(names)) => names,
            None => Vec::new(),
        }
    }
}

/// The one keyword of an output schema that results are held against.
#[derive(Deserialize)]
struct Top {
    #[serde(rename = "type")]
    types: Option<Types>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Types {
    One(String),
    Several(Vec<String>),
}

/// The type of complete JSON, by the first character that is no white space.
pub(crate) fn type_of(first: Option<u8>) -> &'static str {
    match first {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }
}

fn is_a(found: &str, expected: &str) -> bool {
    found == expected || (found == "number" && expected == "integer")
}

pub(crate) fn unfit(why: &str) -> Error {
    let message = format!("the result makes no sense: {}", printable(clip(why, 200)));
    Error::new(ErrorKind::Protocol, message).delivered(Delivery::Applied)
}

/// Refuses a description that a platform could not rely on. Descriptions that passed are kept in the cache.
pub(crate) fn check(description: &Description, limits: &Limits) -> Result<(), Error> {
    let count = description.actions.len();
    if count > limits.actions {
        let limit = limits.actions;
        return Err(faulty(format!("it has {count} actions, more than the limit of {limit}")));
    }
    let labelled = |key: &'_ String, label: &'_ String| (key.clone(), label.clone());
    let actions = description.actions.iter().map(|it| labelled(&it.key, &it.label));
    let connections = description.connections.iter().map(|it| labelled(&it.key, &it.label));
    let choices = description.choices.iter().map(|it| labelled(&it.key, &it.label));
    let triggers = description.triggers.iter().map(|it| labelled(&it.key, &it.label));
    unique("actions", actions)?;
    unique("connection types", connections)?;
    unique("sources of choices", choices)?;
    unique("triggers", triggers)?;
    texts(description)?;
    if description.action(&description.connection_test).is_none() {
        let key = shown(&description.connection_test);
        return Err(faulty(format!("{key}, which is to test connections, is no action of it")));
    }
    schemas(description, limits)
}

fn unique(what: &str, offers: impl Iterator<Item = (String, String)>) -> Result<(), Error> {
    let mut seen = HashMap::new();
    for (key, label) in offers {
        check_key(what, &key)?;
        let label = shown(&label);
        if let Some(other) = seen.insert(key.clone(), label.clone()) {
            return Err(faulty(format!("two {what} have the key {key}: {other} and {label}")));
        }
    }
    Ok(())
}

/// Keys become words of command lines, names of files and parts of URLs.
fn check_key(what: &str, key: &str) -> Result<(), Error> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let starts = key.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts && key.len() <= 100 && key.chars().all(fits) {
        return Ok(());
    }
    let key = shown(key);
    Err(faulty(format!("{key} among its {what} is no key: letters, digits, _ and -, at most 100")))
}

/// Words for people are shown as they are, on terminals too.
fn texts(description: &Description) -> Result<(), Error> {
    let own =
        [&description.key, &description.label, &description.description, &description.version];
    let actions = description.actions.iter().flat_map(|it| [&it.label, &it.description, &it.group]);
    let connections =
        description.connections.iter().flat_map(|it| [&it.label, &it.description, &it.secret]);
    let choices = description.choices.iter().map(|it| &it.label);
    let triggers = description.triggers.iter().flat_map(|it| [&it.label, &it.description]);
    let endpoints = (description.actions.iter().flat_map(|it| &it.endpoints))
        .chain(description.choices.iter().flat_map(|it| &it.endpoints))
        .chain(description.triggers.iter().flat_map(|it| &it.endpoints))
        .flat_map(|it| [&it.method, &it.path]);
    let mut all = (own.into_iter())
        .chain(actions)
        .chain(connections)
        .chain(choices)
        .chain(triggers)
        .chain(endpoints);
    let is_command = |c: char| c.is_control() && c != '\n' && c != '\t';
    match all.find(|text| text.contains(is_command)) {
        None => Ok(()),
        Some(text) => {
            Err(faulty(format!("its words have control characters in them: {}", shown(text))))
        }
    }
}

fn schemas(description: &Description, limits: &Limits) -> Result<(), Error> {
    let mut checker = Checker::default();
    let mut check = |of: &str, what: &str, schema: &RawValue| {
        let length = schema.get().len();
        if length > limits.schema_bytes {
            let limit = limits.schema_bytes;
            return Err(faulty(format!(
                "the {what} of {of} has {length} bytes, the limit is {limit}"
            )));
        }
        let parsed = parsed(of, what, schema)?;
        checker.check(&parsed).map_err(|fault| misfit(of, what, &fault))?;
        Ok(parsed)
    };
    for connection in &description.connections {
        check(&connection.key, "schema", &connection.schema)?;
    }
    for source in &description.choices {
        check(&source.key, "input schema", &source.input_schema)?;
    }
    for trigger in &description.triggers {
        check(&trigger.key, "input schema", &trigger.input_schema)?;
        check(&trigger.key, "event schema", &trigger.event_schema)?;
    }
    for action in &description.actions {
        let key = &action.key;
        let input = check(key, "input schema", &action.input_schema)?;
        let output = check(key, "output schema", &action.output_schema)?;
        let example = parsed(key, "example", &action.example)?;
        for (part, schema) in [("input", input), ("output", output)] {
            let Some(value) = example.get(part) else {
                return Err(faulty(format!("the example of {key} has no {part}")));
            };
            schema::fits(&schema, value)
                .map_err(|fault| misfit(key, &format!("example {part}"), &fault))?;
        }
    }
    Ok(())
}

fn parsed(of: &str, what: &str, json: &RawValue) -> Result<Json, Error> {
    serde_json::from_str(json.get())
        .map_err(|error| faulty(format!("the {what} of {of} cannot be read: {error}")))
}

fn misfit(of: &str, what: &str, fault: &Fault) -> Error {
    let at = if fault.at.is_empty() { "its root" } else { &fault.at };
    faulty(format!("the {what} of {of} is wrong at {}: {}", printable(clip(at, 120)), fault.why))
}

/// Something out of a description, in a message.
fn shown(text: &str) -> String {
    format!("{:?}", printable(clip(text, 60)))
}

fn faulty(why: impl AsRef<str>) -> Error {
    let why = clip(why.as_ref(), 250);
    invalid(format!("the connector's catalog is faulty: {}", printable(why)))
}
